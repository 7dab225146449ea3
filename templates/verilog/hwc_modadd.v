// hwc_modadd: sum_o = (a_i + b_i) mod M for a_i, b_i in 0..M-1; combinational.
//
// For addresses in a circular buffer. Operands outside 0..M-1 give wrong sums.
`default_nettype none

module hwc_modadd #(
    parameter M = 2,  // modulus
    parameter W = 1   // width; 2**W >= M
) (
    input  wire [W-1:0] a_i,
    input  wire [W-1:0] b_i,
    output wire [W-1:0] sum_o
);

  generate
    if (M < 1 || W < 1 || W < $clog2(M)) begin : g_check
      hwc_error_modadd_needs_m_ge_1_and_w_ge_clog2_m u_error ();
    end
  endgenerate

  localparam integer MOD = M;

  wire [W:0] sum = {1'b0, a_i} + {1'b0, b_i};
  wire [W:0] red = sum - MOD[W:0];  // its top bit is the borrow, since sum - M lies in -2**W .. 2**W - 1

  assign sum_o = red[W] ? sum[W-1:0] : red[W-1:0];

endmodule

`default_nettype wire
