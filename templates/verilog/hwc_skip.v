// hwc_skip: the order in which hwc_window reads where beats of zero weights are left out: BEATS of a window, in a ROM.
//
// A word of the ROM: the word index, from the window's first word (GW bits), above it the tap group (TW bits). The one
// that is next waits in the ROM's register; it takes a cycle after reset, before any data can be there. Ports as those
// of hwc_walk.
`default_nettype none

module hwc_skip #(
    parameter DEPTH      = 2,  // words of the circular buffer
    parameter AW         = 1,  // address width; 2**AW >= DEPTH
    parameter G          = 1,  // words per pixel
    parameter TG         = 1,  // tap groups per window
    parameter TW         = 1,  // width of tg_o
    parameter BEATS      = 1,  // beats of a window
    parameter WO         = 1,  // windows per row
    parameter HO         = 1,  // rows of windows per frame
    parameter STEP_X     = 1,  // words from a window to the next
    parameter STEP_Y     = 1,  // .. to the first of the next row
    parameter STEP_F     = 1,  // .. to the first of the next frame
    parameter S_FILE     = ""  // the schedule, hex
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire          en_i,
    output wire [TW-1:0] tg_o,
    output wire [AW-1:0] addr_o,
    output wire          take_o,
    output wire [   1:0] kind_o
);

  localparam integer GW = (G > 1) ? $clog2(G) : 1;
  localparam integer BW = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam integer XW = (WO > 1) ? $clog2(WO) : 1;
  localparam integer YW = (HO > 1) ? $clog2(HO) : 1;
  localparam integer ADD_X = STEP_X % DEPTH;
  localparam integer ADD_Y = STEP_Y % DEPTH;
  localparam integer ADD_F = STEP_F % DEPTH;

  generate
    if (BEATS < 1 || G < 1 || TG < 1 || TW < 1 || DEPTH < G || AW < GW) begin : g_check
      hwc_error_skip_sizes_must_be_ge_1 u_error ();
    end
  endgenerate

  reg              primed_q;
  wire             next = en_i || !primed_q;
  wire [   BW-1:0] beat;     // the one after the one that waits
  wire [GW+TW-1:0] entry;
  wire [   XW-1:0] unused_x;
  wire [   YW-1:0] unused_y;
  wire             unused_last, last_x, last_y;

  hwc_count #(.N(BEATS), .W(BW)) u_beat (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(next), .count_o(beat), .last_o(unused_last)
  );
  hwc_rom #(.W(GW + TW), .DEPTH(BEATS), .AW(BW), .MEM_FILE(S_FILE)) u_entry (
      .clk_i(clk_i), .en_i(next), .addr_i(beat), .data_o(entry)
  );
  hwc_count #(.N(WO), .W(XW)) u_x (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take_o), .count_o(unused_x), .last_o(last_x)
  );
  hwc_count #(.N(HO), .W(YW)) u_y (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take_o && last_x), .count_o(unused_y), .last_o(last_y)
  );

  reg  [AW-1:0] base_q;  // the window's first word
  wire [AW-1:0] base;
  wire [AW-1:0] step = kind_o[1] ? ADD_F[AW-1:0] : kind_o[0] ? ADD_Y[AW-1:0] : ADD_X[AW-1:0];
  wire [AW-1:0] word;

  hwc_modadd #(.M(DEPTH), .W(AW)) u_base (.a_i(base_q), .b_i(step), .sum_o(base));
  hwc_modadd #(.M(DEPTH), .W(AW)) u_addr (.a_i(base_q), .b_i(word), .sum_o(addr_o));

  always @(posedge clk_i) begin
    if (!rst_ni) begin
      primed_q <= 1'b0;
      base_q   <= {AW{1'b0}};
    end else begin
      primed_q <= 1'b1;
      if (take_o) base_q <= base;
    end
  end

  generate
    if (AW > GW) begin : g_wide
      assign word = {{AW - GW{1'b0}}, entry[GW-1:0]};
    end else begin : g_same
      assign word = entry[AW-1:0];
    end
  endgenerate

  assign take_o = en_i && beat == {BW{1'b0}};
  assign kind_o = {last_x && last_y, last_x};
  assign tg_o   = entry[GW +: TW];

endmodule

`default_nettype wire
