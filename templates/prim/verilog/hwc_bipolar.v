// hwc_bipolar: lanes of one bit, which stands for -1 (0) or +1 (1), as two's complement of 2 bits; combinational.
`default_nettype none

module hwc_bipolar #(
    parameter LANES = 1  // lanes
) (
    input  wire [  LANES-1:0] data_i,
    output wire [2*LANES-1:0] data_o
);

  genvar i;
  generate
    if (LANES < 1) begin : g_check
      hwc_error_bipolar_needs_lanes_ge_1 u_error ();
    end
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      assign data_o[2*i +: 2] = {!data_i[i], 1'b1};
    end
  endgenerate

endmodule

`default_nettype wire
