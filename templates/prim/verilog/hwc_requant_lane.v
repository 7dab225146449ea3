// hwc_requant_lane: requantizes one value; see hwc_requant for the two forms.
//
// Stages, all with en_i: product (2 registers; none if M_ONE), then hwc_round: latency 4, M_ONE 2 cycles.
// No step overflows: the sum has one bit more than its widest operand.
`default_nettype none

module hwc_requant_lane #(
    parameter         ACC_W    = 32,    // bits of a
    parameter         MW       = 31,    // bits of M
    parameter         CW       = 1,     // bits of C
    parameter         SHIFT    = 0,     // right shift, 0..62
    parameter         FORM     = 0,     // 0: rne, 1: affine
    parameter         M_ONE    = 0,     // 1: M is 1
    parameter         M_SIGNED = 0,     // 1: M is two's complement, 0: unsigned
    parameter integer ZERO     = 0,     // rne: added after rounding
    parameter integer LO       = -128,  // lowest output
    parameter integer HI       = 127,   // highest output
    parameter         OUT_W    = 8      // bits of the output, at most 30
) (
    input  wire             clk_i,
    input  wire             en_i,
    input  wire [ACC_W-1:0] a_i,
    input  wire [   MW-1:0] m_i,
    input  wire [   CW-1:0] c_i,
    output wire [OUT_W-1:0] y_o
);

  localparam integer PW = (M_ONE != 0) ? ACC_W : ACC_W + MW;
  localparam integer TW = (FORM == 0) ? PW : ((PW > CW) ? PW : CW) + 1;

  wire [PW-1:0] p;  // a * M
  wire [CW-1:0] c;
  wire [TW-1:0] t;  // to be rounded and shifted

  generate
    if (FORM < 0 || FORM > 1) begin : g_check
      hwc_error_requant_needs_form_0_or_1 u_error ();
    end

    if (M_ONE != 0) begin : g_no_multiplier
      wire unused = &{1'b0, m_i};
      assign p = a_i;
      assign c = c_i;
    end else begin : g_multiplier
      wire signed [ ACC_W-1:0] a = a_i;
      wire signed [      MW:0] m = {M_SIGNED != 0 && m_i[MW-1], m_i};
      reg  signed [ACC_W+MW:0] p_q1;
      reg         [    PW-1:0] p_q2;
      reg         [    CW-1:0] c_q1, c_q2;
      wire                     unused = p_q1[ACC_W+MW];
      always @(posedge clk_i) begin
        if (en_i) begin
          p_q1 <= a * m;
          p_q2 <= p_q1[PW-1:0];
          c_q1 <= c_i;
          c_q2 <= c_q1;
        end
      end
      assign p = p_q2;
      assign c = c_q2;
    end

    if (FORM == 1) begin : g_affine
      assign t = {{TW - PW{p[PW-1]}}, p} + {{TW - CW{c[CW-1]}}, c};
    end else begin : g_rne
      wire unused = &{1'b0, c};
      assign t = p;
    end
  endgenerate

  hwc_round #(
      .IN_W(TW), .SHIFT(SHIFT), .RNE((FORM == 0) ? 1 : 0), .ZERO((FORM == 0) ? ZERO : 0), .LO(LO), .HI(HI),
      .OUT_W(OUT_W)
  ) u_round (
      .clk_i(clk_i), .en_i(en_i), .x_i(t), .y_o(y_o)
  );

endmodule

`default_nettype wire
