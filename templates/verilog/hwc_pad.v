// hwc_pad: inserts constant beats around every frame: H x WD pixels become (PT+H+PB) x (PL+WD+PR).
//
// A pixel is G beats of DW bits. Combinational from s_* to m_* (no latency, one beat per cycle), so
// put a FIFO in front; the beats of the frame's top edge are offered before its first pixel has come.
`default_nettype none

module hwc_pad #(
    parameter          DW    = 8,          // bits per beat
    parameter          H     = 1,          // rows of the incoming frame
    parameter          WD    = 1,          // columns of the incoming frame
    parameter          G     = 1,          // beats per pixel
    parameter          PT    = 0,          // rows added on top
    parameter          PL    = 0,          // columns added on the left
    parameter          PB    = 0,          // rows added below
    parameter          PR    = 0,          // columns added on the right
    parameter [DW-1:0] VALUE = {DW{1'b0}}  // the beat to insert
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire          s_valid_i,
    output wire          s_ready_o,
    input  wire [DW-1:0] s_data_i,
    output wire          m_valid_o,
    input  wire          m_ready_i,
    output wire [DW-1:0] m_data_o
);

  localparam integer HP = PT + H + PB;
  localparam integer WP = PL + WD + PR;
  localparam integer GW = (G > 1) ? $clog2(G) : 1;
  localparam integer XW = (WP > 1) ? $clog2(WP) : 1;
  localparam integer YW = (HP > 1) ? $clog2(HP) : 1;
  localparam integer LEFT = PL;
  localparam integer TOP = PT;
  localparam integer COLS = WD;
  localparam integer ROWS = H;

  generate
    if (DW < 1 || H < 1 || WD < 1 || G < 1 || PT < 0 || PL < 0 || PB < 0 || PR < 0) begin : g_check
      hwc_error_pad_sizes_must_be_ge_1_and_pads_ge_0 u_error ();
    end
  endgenerate

  wire [GW-1:0] unused_g;
  wire [XW-1:0] x;
  wire [YW-1:0] y;
  wire          last_g;
  wire          last_x;
  wire          unused_last_y;
  wire          move = m_valid_o && m_ready_i;

  hwc_count #(.N(G), .W(GW)) u_g (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(move), .count_o(unused_g), .last_o(last_g)
  );
  hwc_count #(.N(WP), .W(XW)) u_x (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(move && last_g), .count_o(x), .last_o(last_x)
  );
  hwc_count #(.N(HP), .W(YW)) u_y (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(move && last_g && last_x), .count_o(y), .last_o(unused_last_y)
  );

  // One unsigned comparison tells 0 <= x - PL < WD: a negative difference wraps to a large number.
  wire [XW:0] dx = {1'b0, x} - LEFT[XW:0];
  wire [YW:0] dy = {1'b0, y} - TOP[YW:0];
  wire        is_data = (dx < COLS[XW:0]) && (dy < ROWS[YW:0]);

  assign m_valid_o = s_valid_i || !is_data;
  assign m_data_o  = is_data ? s_data_i : VALUE;
  assign s_ready_o = is_data && m_ready_i;

endmodule

`default_nettype wire
