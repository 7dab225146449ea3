// hwc_mul: multiplies two streams beat by beat and requantizes the products; all constants are wires.
//
// With p = (a - ZA) * (b - ZB):
// FORM 0 (rne):    y = clamp(rshift_rne(p * M, SHIFT) + ZERO, LO, HI)
// FORM 1 (affine): y = clamp((p * M + C) >> SHIFT, LO, HI); C holds rounding and zero point
// One beat per cycle, latency 7 cycles. a_ready_o depends on b_valid_i and the other way round: each input needs a
// FIFO in front. Does not broadcast one input over the other: hwc_window repeats the beats of a gate.
`default_nettype none

module hwc_mul #(
    parameter          LANES    = 1,           // lanes per beat
    parameter          A_W      = 8,           // bits per lane of a, at most 24
    parameter          A_SIGNED = 1,           // 1: a is two's complement, 0: unsigned
    parameter integer  ZA       = 0,           // zero point of a, within its type
    parameter          B_W      = 8,           // bits per lane of b, at most 24
    parameter          B_SIGNED = 1,           // 1: b is two's complement, 0: unsigned
    parameter integer  ZB       = 0,           // zero point of b, within its type
    parameter          MW       = 1,           // bits of M
    parameter [MW-1:0] M        = {MW{1'b1}},  // factor of all products, unsigned
    parameter          CW       = 1,           // bits of C
    parameter [CW-1:0] C        = {CW{1'b0}},  // affine: added before the shift, two's complement
    parameter          SHIFT    = 0,           // right shift, 0..62
    parameter          FORM     = 0,           // 0: rne, 1: affine
    parameter integer  ZERO     = 0,           // rne: zero point, added after rounding
    parameter integer  LO       = -128,        // lowest output
    parameter integer  HI       = 127,         // highest output
    parameter          OUT_W    = 8            // bits per output lane, at most 30
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire                   a_valid_i,
    output wire                   a_ready_o,
    input  wire [  LANES*A_W-1:0] a_data_i,
    input  wire                   b_valid_i,
    output wire                   b_ready_o,
    input  wire [  LANES*B_W-1:0] b_data_i,
    output wire                   m_valid_o,
    input  wire                   m_ready_i,
    output wire [LANES*OUT_W-1:0] m_data_o
);

  localparam integer LAT = 7;  // of hwc_mul_lane

  reg  [LAT:1] valid_q;
  wire         en = !valid_q[LAT] || m_ready_i;

  always @(posedge clk_i) begin
    if (!rst_ni) valid_q <= {LAT{1'b0}};
    else if (en) valid_q <= {valid_q[LAT-1:1], a_valid_i && b_valid_i};
  end

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      hwc_mul_lane #(
          .A_W(A_W), .A_SIGNED(A_SIGNED), .ZA(ZA), .B_W(B_W), .B_SIGNED(B_SIGNED), .ZB(ZB), .MW(MW), .M(M), .CW(CW),
          .C(C), .SHIFT(SHIFT), .FORM(FORM), .ZERO(ZERO), .LO(LO), .HI(HI), .OUT_W(OUT_W)
      ) u_lane (
          .clk_i(clk_i), .en_i(en), .a_i(a_data_i[i*A_W +: A_W]), .b_i(b_data_i[i*B_W +: B_W]),
          .y_o(m_data_o[i*OUT_W +: OUT_W])
      );
    end
  endgenerate

  assign a_ready_o = en && b_valid_i;
  assign b_ready_o = en && a_valid_i;
  assign m_valid_o = valid_q[LAT];

endmodule

`default_nettype wire
