// hwc_axis_out: internal stream to AXI4-Stream master; TLAST on the last of every BEATS beats.
//
// Wires and a beat counter, no latency.
`default_nettype none

module hwc_axis_out #(
    parameter DW    = 8,  // bits of TDATA
    parameter BEATS = 1   // beats per frame
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire          s_valid_i,
    output wire          s_ready_o,
    input  wire [DW-1:0] s_data_i,
    output wire [DW-1:0] tdata_o,
    output wire          tvalid_o,
    input  wire          tready_i,
    output wire          tlast_o
);

  localparam integer BW = (BEATS > 1) ? $clog2(BEATS) : 1;

  wire [BW-1:0] unused_beat;

  hwc_count #(.N(BEATS), .W(BW)) u_beat (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(s_valid_i && tready_i), .count_o(unused_beat), .last_o(tlast_o)
  );

  assign s_ready_o = tready_i;
  assign tvalid_o  = s_valid_i;
  assign tdata_o   = s_data_i;

endmodule

`default_nettype wire
