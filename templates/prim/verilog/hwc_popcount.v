// hwc_popcount: number of ones among N bits.
//
// Counters start from FIRST bits each, take six more in each of STEPS steps, and are then added in pairs; every adder
// takes one more bit as its carry in. In a step five bits are counted by the logic in front of the adder's carry chain.
// REG > 0: a register after every REG-th level (STEPS steps, then a level of adders per doubling); else combinational.
// Latency with en_i, for REG > 0: (STEPS + clog2(ceil((N+1) / (FIRST+6*STEPS+1)))) / REG cycles, rounded down.
`default_nettype none

module hwc_popcount #(
    parameter N     = 8,  // bits
    parameter FIRST = 1,  // bits that a counter starts from: 1, 3 or 6
    parameter STEPS = 0,  // times that a counter takes six more
    parameter REG   = 0   // levels per pipeline register; 0: none
) (
    input  wire                   clk_i,
    input  wire                   en_i,
    input  wire [          N-1:0] x_i,
    output wire [$clog2(N+1)-1:0] count_o
);

  localparam integer LEAF = FIRST + 6 * STEPS;             // bits of a counter before the adders
  localparam integer M = (N + 1 + LEAF) / (LEAF + 1);      // counters
  localparam integer LEVELS = STEPS + $clog2(M);
  localparam integer SIZE = M * LEAF + M - 1;              // bits that go in, N of them used
  localparam integer CW = $clog2(N + 1);

  // Counters that are left after level k, and the bits that levels up to k took.
  function integer left(input integer k);
    left = (k <= STEPS) ? M : (M + (1 << (k - STEPS)) - 1) >> (k - STEPS);
  endfunction
  function integer taken(input integer k);
    taken = (k <= STEPS) ? M * (FIRST + 6 * k) : M * LEAF + M - left(k);
  endfunction

  genvar k, i;
  generate
    if (N < 1 || (FIRST != 1 && FIRST != 3 && FIRST != 6) || STEPS < 0 || REG < 0) begin : g_check
      hwc_error_popcount_needs_n_ge_1_and_first_1_3_or_6 u_error ();
    end
    for (k = 0; k <= LEVELS; k = k + 1) begin : g_level
      localparam integer C = left(k);
      localparam integer W = (k <= STEPS) ? $clog2(FIRST + 6 * k + 1) : $clog2(LEAF + 1) + k - STEPS;
      localparam integer R = SIZE - taken(k);  // bits that later levels take
      wire [C*W-1:0] sum;
      wire [R:0]     rest;  // the top bit is none
      wire [C*W-1:0] sum_r;
      wire [R:0]     rest_r;

      if (k == 0) begin : g_first
        wire [SIZE:0] x = {{SIZE + 1 - N{1'b0}}, x_i};
        for (i = 0; i < M; i = i + 1) begin : g_counter
          hwc_ones #(.K(FIRST)) u_ones (.x_i(x[i*FIRST +: FIRST]), .ones_o(sum[i*W +: W]));
        end
        assign rest = x[SIZE:M*FIRST];
      end else begin : g_later
        localparam integer CB = left(k - 1);
        localparam integer WB = (k - 1 <= STEPS) ? $clog2(FIRST + 6 * (k - 1) + 1) : W - 1;
        for (i = 0; i < C; i = i + 1) begin : g_counter
          wire [W:0] a, b, y;
          wire       unused = ^{b, y};
          if (k <= STEPS) begin : g_step
            wire [2:0] five;
            wire [W:0] wide = {{W - 2{1'b0}}, five};
            hwc_ones #(.K(5)) u_ones (.x_i(g_level[k-1].rest_r[6*i+1 +: 5]), .ones_o(five));
            assign a = {{W - WB{1'b0}}, g_level[k-1].sum_r[i*WB +: WB], g_level[k-1].rest_r[6*i]};
            assign b = {wide[W-1:0], 1'b0};
            // a + b: tools may exchange the operands of a sum, and then the count does not fit the chain's logic.
            assign y = a - ~b;
            wire unused_wide = wide[W];
          end else if (2 * i + 1 < CB) begin : g_pair
            assign a = {1'b0, g_level[k-1].sum_r[2*i*WB +: WB], g_level[k-1].rest_r[i]};
            assign b = {1'b0, g_level[k-1].sum_r[(2*i+1)*WB +: WB], g_level[k-1].rest_r[i]};
            assign y = a + b;
          end else begin : g_odd
            assign a = {1'b0, g_level[k-1].sum_r[2*i*WB +: WB], 1'b0};
            assign b = {W + 1{1'b0}};
            assign y = a;
          end
          assign sum[i*W +: W] = y[W:1];
        end
        assign rest = g_level[k-1].rest_r[SIZE-taken(k-1):taken(k)-taken(k-1)];
      end

      if (REG > 0 && k > 0 && k % (REG > 0 ? REG : 1) == 0) begin : g_reg
        reg [C*W-1:0] sum_q;
        reg [R:0]     rest_q;
        always @(posedge clk_i) if (en_i) sum_q <= sum;
        always @(posedge clk_i) if (en_i) rest_q <= rest;
        assign sum_r  = sum_q;
        assign rest_r = rest_q;
      end else begin : g_wire
        assign sum_r  = sum;
        assign rest_r = rest;
      end
    end
  endgenerate

  wire unused = &{1'b0, clk_i, en_i, g_level[LEVELS].sum_r, g_level[LEVELS].rest_r};
  assign count_o = g_level[LEVELS].sum_r[CW-1:0];

endmodule

`default_nettype wire
