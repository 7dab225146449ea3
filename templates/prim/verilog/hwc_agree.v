// hwc_agree: how many of N pairs of bits agree, modulo 2**OW.
//
// Three pairs are two functions of six bits, ones and twos, and each of these columns is counted by hwc_popcount, with
// a register after every second level: about 1.1 LUT6 a pair. Then the ones and twice the twos, registered. Latency
// with en_i: 1 + (STEPS + clog2(ceil((T+1) / (6*STEPS+2)))) / 2 cycles, rounded down; T = ceil(N/3), STEPS =
// min(5, T / 12).
`default_nettype none

module hwc_agree #(
    parameter N  = 1,  // pairs
    parameter OW = 8   // bits of the count, unsigned
) (
    input  wire          clk_i,
    input  wire          en_i,
    input  wire [ N-1:0] x_i,
    input  wire [ N-1:0] w_i,
    output wire [OW-1:0] y_o
);

  localparam integer T = (N + 2) / 3;
  localparam integer STEPS = (T >= 60) ? 5 : T / 12;  // of hwc_popcount
  localparam integer CW = $clog2(T + 1);
  localparam integer SW = (CW + 2 > OW) ? CW + 2 : OW;

  wire [3*T-1:0] same = {{3 * T - N{1'b0}}, ~(x_i ^ w_i)};
  wire [  T-1:0] one, two;
  wire [ CW-1:0] ones, twos;
  wire [ SW-1:0] count = {{SW - CW{1'b0}}, ones} + {{SW - CW - 1{1'b0}}, twos, 1'b0};
  wire           unused_top = ^count;
  reg  [ OW-1:0] y_q;

  genvar i;
  generate
    if (N < 1 || OW < 1) begin : g_check
      hwc_error_agree_sizes_must_be_ge_1 u_error ();
    end
    for (i = 0; i < T; i = i + 1) begin : g_three
      wire a = same[3*i], b = same[3*i+1], c = same[3*i+2];
      assign one[i] = a ^ b ^ c;
      assign two[i] = (a & b) | (c & (a | b));
    end
  endgenerate

  hwc_popcount #(.N(T), .FIRST(1), .STEPS(STEPS), .REG(2)) u_ones (
      .clk_i(clk_i), .en_i(en_i), .x_i(one), .count_o(ones)
  );
  hwc_popcount #(.N(T), .FIRST(1), .STEPS(STEPS), .REG(2)) u_twos (
      .clk_i(clk_i), .en_i(en_i), .x_i(two), .count_o(twos)
  );

  always @(posedge clk_i) if (en_i) y_q <= count[OW-1:0];

  assign y_o = y_q;

endmodule

`default_nettype wire
