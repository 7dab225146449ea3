// hwc_slice: passes beats FIRST..LAST of every BEATS beats and drops the others.
//
// With the beats of a pixel it selects channels, with those of a row or a frame it crops. Combinational from s_* to
// m_* (no latency, takes one beat per cycle, dropped ones too). A split is hwc_fork and a slice for each part.
`default_nettype none

module hwc_slice #(
    parameter W     = 8,  // bits per beat
    parameter BEATS = 1,  // beats of a pixel
    parameter FIRST = 0,  // first beat to pass
    parameter LAST  = 0   // last beat to pass
) (
    input  wire         clk_i,
    input  wire         rst_ni,
    input  wire         s_valid_i,
    output wire         s_ready_o,
    input  wire [W-1:0] s_data_i,
    output wire         m_valid_o,
    input  wire         m_ready_i,
    output wire [W-1:0] m_data_o
);

  localparam integer BW = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam integer START = FIRST;
  localparam integer COUNT = LAST - FIRST + 1;

  generate
    if (W < 1 || FIRST < 0 || LAST < FIRST || BEATS < LAST + 1) begin : g_check
      hwc_error_slice_needs_first_le_last_lt_beats u_error ();
    end
  endgenerate

  wire [BW-1:0] beat;
  wire          unused_last;

  // One unsigned comparison: a negative difference wraps to a large number.
  wire [  BW:0] index = {1'b0, beat} - START[BW:0];
  wire          pass = index < COUNT[BW:0];

  hwc_count #(.N(BEATS), .W(BW)) u_beat (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(s_valid_i && s_ready_o), .count_o(beat), .last_o(unused_last)
  );

  assign s_ready_o = m_ready_i || !pass;
  assign m_valid_o = s_valid_i && pass;
  assign m_data_o  = s_data_i;

endmodule

`default_nettype wire
