// hwc_share: y_o = clamp(round(part_i * 2**F / sum_i) + ZERO, LO, HI) for part_i <= sum_i, rounded half to even.
//
// A division by subtraction, one bit of the quotient per register stage, all with en_i; latency F + 3 cycles.
`default_nettype none

module hwc_share #(
    parameter         TW    = 23,   // bits of the part
    parameter         SW    = 24,   // bits of the sum; at least TW
    parameter         F     = 8,    // fraction bits of the quotient, 0..24
    parameter integer ZERO  = 0,    // added after rounding
    parameter integer LO    = 0,    // lowest output
    parameter integer HI    = 127,  // highest output
    parameter         OUT_W = 8     // bits of y
) (
    input  wire             clk_i,
    input  wire             en_i,
    input  wire [   TW-1:0] part_i,
    input  wire [   SW-1:0] sum_i,
    output wire [OUT_W-1:0] y_o
);

  localparam integer LOW = LO - ZERO;
  localparam integer HIGH = HI - ZERO;

  // Stage i leaves the quotient of part * 2**i and what remains of it, below the sum.
  genvar i;
  generate
    if (TW < 1 || SW < TW || F < 0 || F > 24 || OUT_W < 1 || OUT_W > 30 || LO > HI) begin : g_check
      hwc_error_share_needs_sw_ge_tw_f_0_to_24_and_limits_within_out_w u_error ();
    end
    for (i = 0; i <= F; i = i + 1) begin : g_bit
      wire [SW:0]   t;
      wire [SW-1:0] sum;
      reg  [SW-1:0] rest_q, sum_q;
      reg  [   i:0] q_q;
      wire [  SW:0] less = t - {1'b0, sum};
      if (i == 0) begin : g_first
        assign t   = {{SW + 1 - TW{1'b0}}, part_i};
        assign sum = sum_i;
        always @(posedge clk_i) if (en_i) q_q <= !less[SW];
      end else begin : g_next
        assign t   = {g_bit[i-1].rest_q, 1'b0};
        assign sum = g_bit[i-1].sum_q;
        always @(posedge clk_i) if (en_i) q_q <= {g_bit[i-1].q_q, !less[SW]};
      end
      always @(posedge clk_i) begin
        if (en_i) begin
          rest_q <= less[SW] ? t[SW-1:0] : less[SW-1:0];
          sum_q  <= sum;
        end
      end
    end
  endgenerate

  wire [ SW:0] twice = {g_bit[F].rest_q, 1'b0};
  wire [ SW:0] sum = {1'b0, g_bit[F].sum_q};
  wire         up = twice > sum || (twice == sum && g_bit[F].q_q[0]);
  reg  [F+1:0] q_q;
  reg  [OUT_W-1:0] y_q;
  wire signed [31:0] k = {{30 - F{1'b0}}, q_q};
  wire [31:0]  moved = k + ZERO;
  wire         unused = ^moved;

  always @(posedge clk_i) begin
    if (en_i) begin
      q_q <= {1'b0, g_bit[F].q_q} + {{F + 1{1'b0}}, up};
      y_q <= (k < LOW) ? LO[OUT_W-1:0] : (k > HIGH) ? HI[OUT_W-1:0] : moved[OUT_W-1:0];
    end
  end

  assign y_o = y_q;

endmodule

`default_nettype wire
