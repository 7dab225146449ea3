// hwc_ones: number of ones among K bits, as logic without a carry chain; combinational.
`default_nettype none

module hwc_ones #(
    parameter K = 3  // bits, 1 to 7
) (
    input  wire [          K-1:0] x_i,
    output wire [$clog2(K+1)-1:0] ones_o
);

  localparam integer W = $clog2(K + 1);

  wire [6:0] b;
  wire [2:0] ones;
  wire       unused = ^{b, ones};

  // Two full adders, and one for what they leave and the last bit.
  wire p = b[0] ^ b[1] ^ b[2];
  wire q = (b[0] & b[1]) | (b[2] & (b[0] | b[1]));
  wire r = b[3] ^ b[4] ^ b[5];
  wire s = (b[3] & b[4]) | (b[5] & (b[3] | b[4]));
  wire c = (p & r) | (b[6] & (p | r));

  assign ones   = {(q & s) | (c & (q | s)), q ^ s ^ c, p ^ r ^ b[6]};
  assign ones_o = ones[W-1:0];

  generate
    if (K < 1 || K > 7) begin : g_check
      hwc_error_ones_needs_1_to_7_bits u_error ();
    end
    if (K == 7) begin : g_all
      assign b = x_i;
    end else begin : g_some
      assign b = {{7 - K{1'b0}}, x_i};
    end
  endgenerate

endmodule

`default_nettype wire
