// hwc_requant: per-lane requantization; multipliers and offsets per channel come from ROMs.
//
// FORM 0 (rne):    y = clamp(rshift_rne(a * M, SHIFT) + ZERO, LO, HI)
// FORM 1 (affine): y = clamp((a * M + C) >> SHIFT, LO, HI)
// a and C are two's complement, M is unsigned (M_SIGNED: two's complement); y is the low OUT_W bits of a value in
// LO..HI. Beats cycle through GROUPS ROM words. M_ONE: all M are 1, no multiplier or M ROM. PER_CHANNEL_C = 0: C_CONST.
// One beat per cycle. Latency: 5 cycles; M_ONE: 2, with per-channel C 3.
// M ROM: GROUPS words, lane i at bits [i*MW]; C ROM: GROUPS words, lane i at bits [i*CW].
`default_nettype none

module hwc_requant #(
    parameter          LANES         = 1,           // lanes per beat
    parameter          ACC_W         = 32,          // bits per input lane
    parameter          MW            = 31,          // bits per multiplier
    parameter          CW            = 1,           // bits per C
    parameter          SHIFT         = 0,           // right shift, 0..62
    parameter          FORM          = 0,           // 0: rne, 1: affine
    parameter          M_ONE         = 0,           // 1: all multipliers are 1
    parameter          M_SIGNED      = 0,           // 1: multipliers are two's complement
    parameter          PER_CHANNEL_C = 0,           // 1: C from the ROM
    parameter [CW-1:0] C_CONST       = {CW{1'b0}},  // C of all channels otherwise
    parameter integer  ZERO          = 0,           // rne: zero point, added after rounding
    parameter integer  LO            = -128,        // lowest output
    parameter integer  HI            = 127,         // highest output
    parameter          OUT_W         = 8,           // bits per output lane, at most 30
    parameter          GROUPS        = 1,           // beats per pixel
    parameter          M_FILE        = "",          // M ROM, hex
    parameter          C_FILE        = ""           // C ROM, hex
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire                   s_valid_i,
    output wire                   s_ready_o,
    input  wire [LANES*ACC_W-1:0] s_data_i,
    output wire                   m_valid_o,
    input  wire                   m_ready_i,
    output wire [LANES*OUT_W-1:0] m_data_o
);

  localparam HAS_M = M_ONE == 0;
  localparam HAS_C = FORM == 1 && PER_CHANNEL_C != 0;
  localparam HAS_ROM = HAS_M || HAS_C;
  localparam integer LAT = (HAS_M ? 4 : 2) + (HAS_ROM ? 1 : 0);
  localparam integer GW = (GROUPS > 1) ? $clog2(GROUPS) : 1;

  reg  [          LAT:1] valid_q;
  wire [LANES*ACC_W-1:0] a;
  wire [   LANES*MW-1:0] m;
  wire [   LANES*CW-1:0] c;
  wire                   en = !valid_q[LAT] || m_ready_i;
  wire                   take = en && s_valid_i;

  always @(posedge clk_i) begin
    if (!rst_ni) valid_q <= {LAT{1'b0}};
    else if (en) valid_q <= {valid_q[LAT-1:1], s_valid_i};
  end

  generate
    if (HAS_ROM) begin : g_rom
      reg  [LANES*ACC_W-1:0] a_q;
      wire [GW-1:0]          group;
      wire                   unused_last;
      always @(posedge clk_i) if (take) a_q <= s_data_i;
      assign a = a_q;
      hwc_count #(.N(GROUPS), .W(GW)) u_group (
          .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take), .count_o(group), .last_o(unused_last)
      );
      if (HAS_M) begin : g_m
        hwc_rom #(.W(LANES * MW), .DEPTH(GROUPS), .AW(GW), .MEM_FILE(M_FILE)) u_m (
            .clk_i(clk_i), .en_i(take), .addr_i(group), .data_o(m)
        );
      end
      if (HAS_C) begin : g_c
        hwc_rom #(.W(LANES * CW), .DEPTH(GROUPS), .AW(GW), .MEM_FILE(C_FILE)) u_c (
            .clk_i(clk_i), .en_i(take), .addr_i(group), .data_o(c)
        );
      end
    end else begin : g_plain
      wire unused = take;
      assign a = s_data_i;
    end
    if (!HAS_M) begin : g_no_m
      assign m = {LANES{{MW{1'b0}}}};
    end
    if (!HAS_C) begin : g_no_c
      assign c = {LANES{C_CONST}};
    end
  endgenerate

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      hwc_requant_lane #(
          .ACC_W(ACC_W), .MW(MW), .CW(CW), .SHIFT(SHIFT), .FORM(FORM), .M_ONE(M_ONE), .M_SIGNED(M_SIGNED),
          .ZERO(ZERO), .LO(LO), .HI(HI), .OUT_W(OUT_W)
      ) u_lane (
          .clk_i(clk_i), .en_i(en), .a_i(a[i*ACC_W +: ACC_W]), .m_i(m[i*MW +: MW]), .c_i(c[i*CW +: CW]),
          .y_o(m_data_o[i*OUT_W +: OUT_W])
      );
    end
  endgenerate

  assign s_ready_o = en;
  assign m_valid_o = valid_q[LAT];

endmodule

`default_nettype wire
