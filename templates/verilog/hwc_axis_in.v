// hwc_axis_in: AXI4-Stream slave to internal stream; checks that TLAST ends every frame of BEATS beats.
//
// Wires and a beat counter, no latency. A TLAST that is missing or early sets frame_err_o, which stays until reset;
// the data goes on by count all the same. Does not resynchronise.
`default_nettype none

module hwc_axis_in #(
    parameter DW    = 8,  // bits of TDATA
    parameter BEATS = 1   // beats per frame
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire [DW-1:0] tdata_i,
    input  wire          tvalid_i,
    output wire          tready_o,
    input  wire          tlast_i,
    output wire          m_valid_o,
    input  wire          m_ready_i,
    output wire [DW-1:0] m_data_o,
    output wire          frame_err_o
);

  localparam integer BW = (BEATS > 1) ? $clog2(BEATS) : 1;

  wire [BW-1:0] unused_beat;
  wire          last;
  wire          step = tvalid_i && m_ready_i;
  reg           frame_err_q;

  hwc_count #(.N(BEATS), .W(BW)) u_beat (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(step), .count_o(unused_beat), .last_o(last)
  );

  always @(posedge clk_i) begin
    if (!rst_ni) frame_err_q <= 1'b0;
    else if (step && tlast_i != last) frame_err_q <= 1'b1;
  end

  assign tready_o    = m_ready_i;
  assign m_valid_o   = tvalid_i;
  assign m_data_o    = tdata_i;
  assign frame_err_o = frame_err_q;

endmodule

`default_nettype wire
