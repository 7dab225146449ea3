// hwc_tap: one copy of hwc_window's circular buffer with the address arithmetic of one tap of each group.
//
// rdata_o = mem[(base_i + OFFSETS[tg_i]) mod DEPTH], 3 cycles with en_i later. OFFSETS packs TG constants of
// 32 bits, that of tap group 0 at the bottom, each below DEPTH. Knows nothing of valid data.
`default_nettype none

module hwc_tap #(
    parameter             DW      = 8,             // bits per word
    parameter             DEPTH   = 2,             // words
    parameter             AW      = 1,             // address width; 2**AW >= DEPTH
    parameter             TG      = 1,             // tap groups
    parameter             TW      = 1,             // width of tg_i; 2**TW >= TG
    parameter [TG*32-1:0] OFFSETS = {TG*32{1'b0}}  // address offset of this tap in each tap group
) (
    input  wire          clk_i,
    input  wire          we_i,
    input  wire [AW-1:0] waddr_i,
    input  wire [DW-1:0] wdata_i,
    input  wire          en_i,
    input  wire          re_i,     // the read of the last of the 3 cycles is wanted
    input  wire [AW-1:0] base_i,
    input  wire [TW-1:0] tg_i,
    output wire [DW-1:0] rdata_o
);

  reg  [AW-1:0] offset;
  reg  [AW-1:0] offset_q;
  reg  [AW-1:0] base_q;
  reg  [AW-1:0] addr_q;
  wire [AW-1:0] addr;

  integer k;
  always @* begin
    offset = OFFSETS[AW-1:0];
    for (k = 1; k < TG; k = k + 1) begin
      if (tg_i == k[TW-1:0]) offset = OFFSETS[k*32 +: AW];
    end
  end

  hwc_modadd #(.M(DEPTH), .W(AW)) u_addr (.a_i(base_q), .b_i(offset_q), .sum_o(addr));

  always @(posedge clk_i) begin
    if (en_i) begin
      offset_q <= offset;
      base_q   <= base_i;
      addr_q   <= addr;
    end
  end

  hwc_ram #(.W(DW), .DEPTH(DEPTH), .AW(AW)) u_ram (
      .clk_i(clk_i), .we_i(we_i), .waddr_i(waddr_i), .wdata_i(wdata_i),
      .re_i(en_i && re_i), .raddr_i(addr_q), .rdata_o(rdata_o)
  );

endmodule

`default_nettype wire
