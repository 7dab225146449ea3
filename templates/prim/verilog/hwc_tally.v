// hwc_tally: sum of N small counters, some of them inverted, and a constant; or whether it is not negative.
//
// Every bit of the counters is counted by a hwc_popcount. Latency with en_i: that of hwc_popcount, and 1.
`default_nettype none

module hwc_tally #(
    parameter         N      = 1,          // counters
    parameter         B      = 2,          // bits of a counter
    parameter [N-1:0] FLIP   = {N{1'b0}},  // counters that are inverted
    parameter integer START  = 0,          // what the sum starts from
    parameter         DOUBLE = 0,          // 1: the counters count twice
    parameter         SIGN   = 0,          // 1: one bit: the sum is not negative
    parameter         ACC_W  = 8,          // bits of the sum, two's complement
    parameter         STEPS  = 0,          // of hwc_popcount
    parameter         REG    = 0           // of hwc_popcount
) (
    input  wire                                 clk_i,
    input  wire                                 en_i,
    input  wire [                      N*B-1:0] c_i,
    output wire [((SIGN != 0) ? 1 : ACC_W)-1:0] y_o
);

  localparam integer CW = $clog2(N + 1);
  localparam integer TW = CW + B;  // bits of all counters' sum
  localparam integer LEAST = (START < 0) ? ((DOUBLE != 0) ? (1 - START) / 2 : -START) : 0;

  genvar b, i;
  generate
    if (N < 1 || B < 1 || ACC_W < 2) begin : g_check
      hwc_error_tally_needs_n_and_b_ge_1_and_acc_w_ge_2 u_error ();
    end
    // Bit by bit from the top: the sum of what the columns above left, doubled, and this one's count.
    for (b = B - 1; b >= 0; b = b - 1) begin : g_column
      wire [ N-1:0] bits;
      wire [CW-1:0] count;
      reg  [CW-1:0] count_q;
      wire [TW-1:0] sum;
      wire          unused_top = ^sum;
      for (i = 0; i < N; i = i + 1) begin : g_bit
        assign bits[i] = c_i[i*B+b] ^ FLIP[i];
      end
      hwc_popcount #(.N(N), .STEPS(STEPS), .REG(REG)) u_count (
          .clk_i(clk_i), .en_i(en_i), .x_i(bits), .count_o(count)
      );
      always @(posedge clk_i) if (en_i) count_q <= count;
      if (b == B - 1) begin : g_top
        assign sum = {{B{1'b0}}, count_q};
      end else begin : g_below
        assign sum = {g_column[b+1].sum[TW-2:0], 1'b0} + {{B{1'b0}}, count_q};
      end
    end

    if (SIGN != 0) begin : g_sign
      // total >= LEAST, from the lowest bit on: logic of few inputs, not an adder.
      wire [TW:0] ge;
      assign ge[0] = 1'b1;
      for (i = 0; i < TW; i = i + 1) begin : g_ge
        assign ge[i+1] = (LEAST >> i) % 2 != 0 ? g_column[0].sum[i] & ge[i] : g_column[0].sum[i] | ge[i];
      end
      assign y_o = ge[TW] && LEAST < (1 << TW);
    end else begin : g_sum
      wire [TW+ACC_W:0] total = {{ACC_W + 1{1'b0}}, g_column[0].sum};
      wire              unused = ^total;
      assign y_o = START[ACC_W-1:0] + ((DOUBLE != 0) ? {total[ACC_W-2:0], 1'b0} : total[ACC_W-1:0]);
    end
  endgenerate

endmodule

`default_nettype wire
