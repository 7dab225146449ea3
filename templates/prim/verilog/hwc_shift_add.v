// hwc_shift_add: sum or difference of two integers of which one is shifted; combinational.
//
// The result must fit YW bits. Bits below the shift are wires where nothing is taken from them.
`default_nettype none

module hwc_shift_add #(
    parameter AW       = 8,  // bits of a
    parameter A_SIGNED = 0,  // 1: two's complement
    parameter BW       = 8,  // bits of b
    parameter B_SIGNED = 0,  // 1: two's complement
    parameter SHIFT    = 0,  // of b, to the left
    parameter OP       = 0,  // 0: a + b, 1: a - b, 2: b - a
    parameter YW       = 9   // bits of the result
) (
    input  wire [AW-1:0] a_i,
    input  wire [BW-1:0] b_i,
    output wire [YW-1:0] y_o
);

  localparam integer W = AW + BW + SHIFT + YW;

  wire [W-1:0] a = {{W - AW{(A_SIGNED != 0) && a_i[AW-1]}}, a_i};
  wire [W-1:0] b = {{W - BW{(B_SIGNED != 0) && b_i[BW-1]}}, b_i};
  wire         unused = ^{a, b};

  generate
    if (AW < 1 || BW < 1 || SHIFT < 0 || YW < 1 || OP < 0 || OP > 2) begin : g_check
      hwc_error_shift_add_needs_widths_ge_1_and_op_0_to_2 u_error ();
    end
    if (OP == 2) begin : g_back
      wire [YW+SHIFT-1:0] high = {b[YW-1:0], {SHIFT{1'b0}}};
      assign y_o = high[YW-1:0] - a[YW-1:0];
      if (SHIFT > 0) begin : g_over
        wire unused_over = ^high[YW+SHIFT-1:YW];
      end
    end else if (YW <= SHIFT) begin : g_low
      assign y_o = a[YW-1:0];
    end else begin : g_high
      localparam integer HW = YW - SHIFT;
      if (OP == 0) begin : g_add
        assign y_o[YW-1:SHIFT] = a[YW-1:SHIFT] + b[HW-1:0];
      end else begin : g_sub
        assign y_o[YW-1:SHIFT] = a[YW-1:SHIFT] - b[HW-1:0];
      end
      if (SHIFT > 0) begin : g_wires
        assign y_o[SHIFT-1:0] = a[SHIFT-1:0];
      end
    end
  endgenerate

endmodule

`default_nettype wire
