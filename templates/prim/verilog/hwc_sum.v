// hwc_sum: lane by lane acc_i + x_i, with x_i extended to ACC_W bits; combinational, modulo 2**ACC_W.
`default_nettype none

module hwc_sum #(
    parameter LANES    = 1,  // lanes
    parameter XW       = 8,  // bits per lane of x
    parameter X_SIGNED = 1,  // 1: x is two's complement, 0: unsigned
    parameter ACC_W    = 32  // bits per lane of the sum; at least XW
) (
    input  wire [LANES*ACC_W-1:0] acc_i,
    input  wire [   LANES*XW-1:0] x_i,
    output wire [LANES*ACC_W-1:0] sum_o
);

  wire [LANES*ACC_W-1:0] x;

  hwc_extend #(.LANES(LANES), .IN_W(XW), .OUT_W(ACC_W), .IS_SIGNED(X_SIGNED)) u_x (.data_i(x_i), .data_o(x));

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      assign sum_o[i*ACC_W +: ACC_W] = acc_i[i*ACC_W +: ACC_W] + x[i*ACC_W +: ACC_W];
    end
  endgenerate

endmodule

`default_nettype wire
