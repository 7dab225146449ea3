// hwc_max: lane by lane the larger of a_i and b_i; combinational.
`default_nettype none

module hwc_max #(
    parameter LANES     = 1,  // lanes
    parameter EW        = 8,  // bits per lane
    parameter IS_SIGNED = 1   // 1: two's complement, 0: unsigned
) (
    input  wire [LANES*EW-1:0] a_i,
    input  wire [LANES*EW-1:0] b_i,
    output wire [LANES*EW-1:0] y_o
);

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      wire ge;
      hwc_ge #(.EW(EW), .IS_SIGNED(IS_SIGNED)) u_ge (.a_i(a_i[i*EW +: EW]), .b_i(b_i[i*EW +: EW]), .ge_o(ge));
      assign y_o[i*EW +: EW] = ge ? a_i[i*EW +: EW] : b_i[i*EW +: EW];
    end
  endgenerate

endmodule

`default_nettype wire
