// hwc_accum: accumulator; sum_o = start + add on the first term of a sum, sum_o + add on the others.
//
// Latency 1 cycle with en_i. Adds modulo 2**W.
`default_nettype none

module hwc_accum #(
    parameter W = 32  // bits
) (
    input  wire         clk_i,
    input  wire         en_i,
    input  wire         first_i,
    input  wire [W-1:0] start_i,
    input  wire [W-1:0] add_i,
    output wire [W-1:0] sum_o
);

  reg [W-1:0] sum_q;

  always @(posedge clk_i) begin
    if (en_i) sum_q <= (first_i ? start_i : sum_q) + add_i;
  end

  assign sum_o = sum_q;

endmodule

`default_nettype wire
