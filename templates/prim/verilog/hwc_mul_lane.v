// hwc_mul_lane: product of two values less their zero points, requantized; see hwc_mul for the formula.
//
// Stages, all with en_i: differences, product (2 registers), hwc_requant_lane: latency 7 cycles. No step overflows.
`default_nettype none

module hwc_mul_lane #(
    parameter          A_W      = 8,           // bits of a, at most 24
    parameter          A_SIGNED = 1,           // 1: a is two's complement, 0: unsigned
    parameter integer  ZA       = 0,           // zero point of a, within its type
    parameter          B_W      = 8,           // bits of b, at most 24
    parameter          B_SIGNED = 1,           // 1: b is two's complement, 0: unsigned
    parameter integer  ZB       = 0,           // zero point of b, within its type
    parameter          MW       = 1,           // bits of M
    parameter [MW-1:0] M        = {MW{1'b1}},  // factor of the product, unsigned
    parameter          CW       = 1,           // bits of C
    parameter [CW-1:0] C        = {CW{1'b0}},  // affine: added before the shift, two's complement
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

  localparam integer PW = A_W + B_W + 2;
  localparam integer SA = (A_SIGNED != 0) ? 1 : 0;
  localparam integer SB = (B_SIGNED != 0) ? 1 : 0;
  localparam signed [A_W:0] SUB_A = ZA[A_W:0];
  localparam signed [B_W:0] SUB_B = ZB[B_W:0];

  generate
    if (A_W < 1 || B_W < 1 || A_W > 24 || B_W > 24) begin : g_check
      hwc_error_mul_needs_inputs_of_1_to_24_bits u_error ();
    end
    if (ZA < -(SA << (A_W - 1)) || ZA >= 1 << (A_W - SA)
        || ZB < -(SB << (B_W - 1)) || ZB >= 1 << (B_W - SB)) begin : g_check_zero
      hwc_error_mul_zero_points_must_be_of_their_types u_error ();
    end
  endgenerate

  // The difference of two values of a type has one bit more than the type, signed.
  wire signed [ A_W:0] a = {A_SIGNED != 0 && a_i[A_W-1], a_i};
  wire signed [ B_W:0] b = {B_SIGNED != 0 && b_i[B_W-1], b_i};
  reg  signed [ A_W:0] a_q;
  reg  signed [ B_W:0] b_q;
  reg  signed [PW-1:0] p_q1;
  reg         [PW-1:0] p_q2;

  always @(posedge clk_i) begin
    if (en_i) begin
      a_q  <= a - SUB_A;
      b_q  <= b - SUB_B;
      p_q1 <= a_q * b_q;
      p_q2 <= p_q1;
    end
  end

  hwc_requant_lane #(
      .ACC_W(PW), .MW(MW), .CW(CW), .SHIFT(SHIFT), .FORM(FORM), .ZERO(ZERO), .LO(LO), .HI(HI), .OUT_W(OUT_W)
  ) u_requant (
      .clk_i(clk_i), .en_i(en_i), .a_i(p_q2), .m_i(M), .c_i(C), .y_o(y_o)
  );

endmodule

`default_nettype wire
