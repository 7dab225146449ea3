// hwc_threshold_lane: y_o = LO + STEP*#{i : a_i >= t_i[i]}, or N - # where down_i tells that the staircase falls.
//
// A register after the comparisons and, where N > 1, one after their sum, with en_i: latency 1 (N = 1) or 2 cycles.
// REG 0: combinational.
`default_nettype none

module hwc_threshold_lane #(
    parameter         ACC_W = 8,  // bits of a and of a threshold, two's complement
    parameter         N     = 1,  // thresholds
    parameter integer LO    = 0,  // lowest output
    parameter         STEP  = 1,  // 1 or 2
    parameter         REG   = 1,  // 1: registers
    parameter         OUT_W = 1   // bits of y, low ones of the result
) (
    input  wire               clk_i,
    input  wire               en_i,
    input  wire [  ACC_W-1:0] a_i,
    input  wire [N*ACC_W-1:0] t_i,
    input  wire               down_i,
    output wire [  OUT_W-1:0] y_o
);

  localparam integer CW = $clog2(STEP * N + 1);
  localparam integer SW = (CW > OUT_W) ? CW : OUT_W;

  wire [ N-1:0] met;
  wire [ N-1:0] met_r;
  reg  [SW-1:0] y;
  wire          unused_top = ^y;

  genvar i;
  generate
    if (ACC_W < 1 || N < 1 || OUT_W < 1 || OUT_W > 30 || STEP < 1 || STEP > 2) begin : g_check
      hwc_error_threshold_needs_n_ge_1_and_out_w_1_to_30 u_error ();
    end
    for (i = 0; i < N; i = i + 1) begin : g_threshold
      wire ge;
      hwc_ge #(.EW(ACC_W)) u_ge (.a_i(a_i), .b_i(t_i[i*ACC_W +: ACC_W]), .ge_o(ge));
      assign met[i] = ge ^ down_i;
    end
  endgenerate

  integer k;
  always @* begin
    y = LO[SW-1:0];
    for (k = 0; k < N; k = k + 1) if (met_r[k]) y = y + STEP[SW-1:0];
  end

  generate
    if (REG != 0) begin : g_met
      reg [N-1:0] met_q;
      always @(posedge clk_i) if (en_i) met_q <= met;
      assign met_r = met_q;
    end else begin : g_now
      wire unused = &{1'b0, clk_i, en_i};
      assign met_r = met;
    end
    if (N == 1 || REG == 0) begin : g_one
      assign y_o = y[OUT_W-1:0];
    end else begin : g_many
      reg [OUT_W-1:0] y_q;
      always @(posedge clk_i) if (en_i) y_q <= y[OUT_W-1:0];
      assign y_o = y_q;
    end
  endgenerate

endmodule

`default_nettype wire
