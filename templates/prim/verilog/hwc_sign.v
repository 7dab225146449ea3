// hwc_sign: lane by lane one bit that tells that a two's complement value is not negative; combinational.
`default_nettype none

module hwc_sign #(
    parameter LANES = 1,  // lanes
    parameter W     = 2   // bits per input lane
) (
    input  wire [LANES*W-1:0] data_i,
    output wire [  LANES-1:0] data_o
);

  wire unused = ^data_i;

  genvar i;
  generate
    if (LANES < 1 || W < 1) begin : g_check
      hwc_error_sign_sizes_must_be_ge_1 u_error ();
    end
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      assign data_o[i] = !data_i[i*W+W-1];
    end
  endgenerate

endmodule

`default_nettype wire
