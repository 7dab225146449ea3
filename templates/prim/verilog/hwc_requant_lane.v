// hwc_requant_lane: requantizes one value; see hwc_requant for the two forms.
//
// Stages, all with en_i: product (2 registers; none if M_ONE), round and shift, clamp: latency 4, M_ONE 2 cycles.
// No step overflows: the sum has one bit more than its widest operand. The clamp compares before ZERO is added,
// with limits moved by ZERO, which is the same and keeps the last adder OUT_W bits wide.
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
  localparam integer TW = (FORM == 1 && CW > PW) ? CW : PW;
  localparam integer RW = ((TW > SHIFT + 1) ? TW : SHIFT + 1) + 1;  // bits of the rounded value before the shift
  localparam integer QW = RW - SHIFT;                               // .. after it
  localparam integer KW = (QW > OUT_W + 3) ? QW : OUT_W + 3;        // bits of the clamp's comparison
  localparam integer OFFSET = (FORM == 1) ? 0 : ZERO;
  localparam integer LOW = LO - OFFSET;
  localparam integer HIGH = HI - OFFSET;
  localparam [KW+31:0] LOW_K = {{KW{LOW[31]}}, LOW[31:0]};
  localparam [KW+31:0] HIGH_K = {{KW{HIGH[31]}}, HIGH[31:0]};
  localparam [RW-1:0] ONE = {{RW - 1{1'b0}}, 1'b1};

  wire [PW-1:0] p;  // a * M
  wire [CW-1:0] c;
  wire [RW-1:0] t;  // to be shifted
  wire          unused_low = ^t;

  generate
    if (FORM < 0 || FORM > 1 || SHIFT < 0 || SHIFT > 62 || OUT_W < 1 || OUT_W > 30 || LO > HI
        || LO < -(1 << OUT_W) || HI > (1 << OUT_W) || ZERO < -(1 << OUT_W) || ZERO > (1 << OUT_W)) begin : g_check
      hwc_error_requant_form_0_or_1_shift_0_to_62_and_limits_within_out_w u_error ();
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
      assign t = {{RW - PW{p[PW-1]}}, p} + {{RW - CW{c[CW-1]}}, c};
    end else begin : g_rne
      wire unused = &{1'b0, c};
      wire [RW-1:0] wide = {{RW - PW{p[PW-1]}}, p};
      if (SHIFT == 0) begin : g_none
        assign t = wide;
      end else begin : g_half
        // rounds half to even: adds just below one half, and a bit more if the result would be odd
        assign t = wide + ((ONE << (SHIFT - 1)) - ONE) + {{RW - 1{1'b0}}, wide[SHIFT]};
      end
    end
  endgenerate

  reg  [QW-1:0]    q_q;
  reg  [OUT_W-1:0] y_q;
  wire [KW-1:0]    k;

  generate
    if (KW > QW) begin : g_wide
      assign k[KW-1:QW] = {KW - QW{q_q[QW-1]}};
    end
  endgenerate
  assign k[QW-1:0] = q_q;

  wire below = $signed(k) < $signed(LOW_K[KW-1:0]);
  wire above = $signed(k) > $signed(HIGH_K[KW-1:0]);

  always @(posedge clk_i) begin
    if (en_i) begin
      q_q <= t[RW-1:SHIFT];
      y_q <= below ? LO[OUT_W-1:0] : above ? HI[OUT_W-1:0] : k[OUT_W-1:0] + OFFSET[OUT_W-1:0];
    end
  end

  assign y_o = y_q;

endmodule

`default_nettype wire
