// hwc_ge: ge_o = (a_i >= b_i); combinational.
`default_nettype none

module hwc_ge #(
    parameter EW        = 8,  // bits
    parameter IS_SIGNED = 1   // 1: two's complement, 0: unsigned
) (
    input  wire [EW-1:0] a_i,
    input  wire [EW-1:0] b_i,
    output wire          ge_o
);

  generate
    if (IS_SIGNED != 0) begin : g_signed
      assign ge_o = $signed(a_i) >= $signed(b_i);
    end else begin : g_unsigned
      assign ge_o = a_i >= b_i;
    end
  endgenerate

endmodule

`default_nettype wire
