// hwc_add_lane: weighted sum of two values, requantized; see hwc_add for the formula.
//
// Stages, all with en_i: products (2 registers, the second with K), sum, then hwc_round: latency 5 cycles.
// No step overflows.
`default_nettype none

module hwc_add_lane #(
    parameter          A_W      = 8,           // bits of a
    parameter          A_SIGNED = 1,           // 1: a is two's complement, 0: unsigned
    parameter          B_W      = 8,           // bits of b
    parameter          B_SIGNED = 1,           // 1: b is two's complement, 0: unsigned
    parameter          MW       = 2,           // bits of MA and MB, 2..32
    parameter integer  MA       = 1,           // factor of a
    parameter integer  MB       = 1,           // factor of b
    parameter          KW       = 1,           // bits of K
    parameter [KW-1:0] K        = {KW{1'b0}},  // added before the shift, two's complement
    parameter          SHIFT    = 0,           // right shift, 0..62
    parameter          FORM     = 0,           // 0: rne, 1: affine
    parameter integer  ZERO     = 0,           // rne: added after rounding
    parameter integer  LO       = -128,        // lowest output
    parameter integer  HI       = 127,         // highest output
    parameter          OUT_W    = 8            // bits of the output, at most 30
) (
    input  wire             clk_i,
    input  wire             en_i,
    input  wire [  A_W-1:0] a_i,
    input  wire [  B_W-1:0] b_i,
    output wire [OUT_W-1:0] y_o
);

  localparam integer PA = A_W + 1 + MW;
  localparam integer PB = B_W + 1 + MW;
  localparam integer PW = (A_W > B_W ? A_W : B_W) + MW;  // bits that hold both products
  localparam integer SW = (PW > KW ? PW : KW) + 1;       // .. a product and K
  localparam integer TW = SW + 1;                        // .. the sum
  localparam signed [MW-1:0] FA = MA[MW-1:0];
  localparam signed [MW-1:0] FB = MB[MW-1:0];

  generate
    if (A_W < 1 || B_W < 1 || KW < 1 || MW < 2 || MW > 32 || FORM < 0 || FORM > 1) begin : g_check
      hwc_error_add_needs_mw_2_to_32_and_form_0_or_1 u_error ();
    end
    if (MA >>> (MW - 1) != MA >>> 31 || MB >>> (MW - 1) != MB >>> 31) begin : g_check_m
      hwc_error_add_factors_must_fit_mw u_error ();
    end
  endgenerate

  wire signed [ A_W:0] a = {A_SIGNED != 0 && a_i[A_W-1], a_i};
  wire signed [ B_W:0] b = {B_SIGNED != 0 && b_i[B_W-1], b_i};
  reg  signed [PA-1:0] pa_q1;
  reg  signed [PB-1:0] pb_q1;
  reg         [SW-1:0] pa_q2;
  reg         [PW-1:0] pb_q2;
  reg         [TW-1:0] sum_q;
  wire [SW+PA-1:0] wide_a = {{SW{pa_q1[PA-1]}}, pa_q1};
  wire [PW+PB-1:0] wide_b = {{PW{pb_q1[PB-1]}}, pb_q1};
  wire unused_top = &{1'b0, wide_a, wide_b};

  always @(posedge clk_i) begin
    if (en_i) begin
      pa_q1 <= a * FA;
      pb_q1 <= b * FB;
      pa_q2 <= wide_a[SW-1:0] + {{SW - KW{K[KW-1]}}, K};
      pb_q2 <= wide_b[PW-1:0];
      sum_q <= {pa_q2[SW-1], pa_q2} + {{TW - PW{pb_q2[PW-1]}}, pb_q2};
    end
  end

  hwc_round #(
      .IN_W(TW), .SHIFT(SHIFT), .RNE((FORM == 0) ? 1 : 0), .ZERO((FORM == 0) ? ZERO : 0), .LO(LO), .HI(HI),
      .OUT_W(OUT_W)
  ) u_round (
      .clk_i(clk_i), .en_i(en_i), .x_i(sum_q), .y_o(y_o)
  );

endmodule

`default_nettype wire
