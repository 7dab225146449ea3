// hwc_extend: widens every lane from IN_W to OUT_W bits, with its sign or with zeros; wires only.
//
// Gives hwc_requant its two's complement input; an unsigned lane needs OUT_W > IN_W there.
`default_nettype none

module hwc_extend #(
    parameter LANES     = 1,  // lanes
    parameter IN_W      = 8,  // bits per input lane
    parameter OUT_W     = 8,  // bits per output lane; at least IN_W
    parameter IS_SIGNED = 1   // 1: two's complement, 0: unsigned
) (
    input  wire [LANES*IN_W-1:0]  data_i,
    output wire [LANES*OUT_W-1:0] data_o
);

  genvar i;
  generate
    if (LANES < 1 || IN_W < 1 || OUT_W < IN_W) begin : g_check
      hwc_error_extend_needs_out_w_ge_in_w u_error ();
    end
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      assign data_o[i*OUT_W +: IN_W] = data_i[i*IN_W +: IN_W];
      if (OUT_W > IN_W) begin : g_top
        assign data_o[i*OUT_W+IN_W +: OUT_W-IN_W] = {OUT_W - IN_W{IS_SIGNED != 0 && data_i[i*IN_W+IN_W-1]}};
      end
    end
  endgenerate

endmodule

`default_nettype wire
