// hwc_gap: y_o = min(a_i - b_i, MOST) for a_i >= b_i, both signed or both unsigned; combinational.
`default_nettype none

module hwc_gap #(
    parameter         EW   = 8,   // bits
    parameter integer MOST = 255  // largest output; below 2**EW
) (
    input  wire [EW-1:0] a_i,
    input  wire [EW-1:0] b_i,
    output wire [EW-1:0] y_o
);

  wire [EW-1:0] d = a_i - b_i;  // below 2**EW, whichever type the operands have

  generate
    if (MOST >= (1 << EW) - 1) begin : g_all
      assign y_o = d;
    end else begin : g_cut
      assign y_o = (d > MOST[EW-1:0]) ? MOST[EW-1:0] : d;
    end
  endgenerate

endmodule

`default_nettype wire
