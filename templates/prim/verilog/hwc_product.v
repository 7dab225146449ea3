// hwc_product: one input times one weight; combinational.
//
// W_KIND says how the weight is held. 0: two's complement. 1: one bit, 1 stands for -1, 0 for +1. 2: two's complement
// of 2 bits, -1, 0 or +1. 3: bit WW-1 tells that it is negative, the others are 0 for zero, else e for 2**(e-1).
// Kinds 1 to 3 give x*w, less one where w is negative: the inverted bits, whoever adds them up makes up for it.
// X_BIPOLAR: kind 0 with an input bit that stands for 1 or 0. Source: x*w = -(~x + 1) for w = -1.
`default_nettype none

module hwc_product #(
    parameter XW        = 8,  // bits of the input
    parameter X_SIGNED  = 1,  // 1: the input is two's complement, 0: unsigned
    parameter X_BIPOLAR = 0,  // 1: the input is one bit
    parameter WW        = 8,  // bits of the weight
    parameter W_KIND    = 0,  // how the weight is held
    parameter PW        = 16  // bits of the product, two's complement; at least what it takes
) (
    input  wire [XW-1:0] x_i,
    input  wire [WW-1:0] w_i,
    output wire [PW-1:0] y_o
);

  localparam SMALL = W_KIND == 0 && X_BIPOLAR == 0 && XW + WW <= 6;  // a table of one LUT per bit
  localparam integer TB = SMALL ? XW + WW : 1;

  function [(PW<<TB)-1:0] products(input integer unused);
    integer i, k, x, w;
    begin
      for (i = 0; i < 1 << TB; i = i + 1) begin
        x = i % (1 << XW);
        w = i / (1 << XW);
        if (X_SIGNED != 0 && x >= 1 << (XW - 1)) x = x - (1 << XW);
        if (w >= 1 << (WW - 1)) w = w - (1 << WW);
        for (k = 0; k < PW; k = k + 1) products[i*PW+k] = (((x * w + 0 * unused) >>> k) & 1) != 0;
      end
    end
  endfunction

  generate
    if (XW < 1 || WW < 1 || W_KIND < 0 || W_KIND > 3 || (X_BIPOLAR != 0 && (W_KIND != 0 || XW != 1))
        || (W_KIND == 1 && WW != 1) || (W_KIND == 2 && WW != 2) || (W_KIND == 3 && WW < 2)) begin : g_check
      hwc_error_product_needs_a_weight_of_its_kind u_error ();
    end
    if (SMALL) begin : g_table
      localparam [(PW<<TB)-1:0] TABLE = products(0);
      wire [TB-1:0] which = {w_i, x_i};
      reg  [PW-1:0] y;
      integer k;
      always @* begin
        y = {PW{1'b0}};
        for (k = 0; k < 1 << TB; k = k + 1) begin
          if (which == k[TB-1:0]) y = TABLE[k*PW +: PW];
        end
      end
      assign y_o = y;
    end else if (X_BIPOLAR != 0) begin : g_bipolar
      assign y_o = {{PW - WW{w_i[WW-1] && x_i[0]}}, w_i & {WW{x_i[0]}}};
    end else if (W_KIND == 0) begin : g_multiply
      wire signed [   XW:0] x = {X_SIGNED != 0 && x_i[XW-1], x_i};
      wire signed [ WW-1:0] w = w_i;
      wire signed [XW+WW:0] product = x * w;
      wire unused_top = ^product;
      assign y_o = product[PW-1:0];
    end else begin : g_select
      wire [PW-1:0] x = {{PW - XW{X_SIGNED != 0 && x_i[XW-1]}}, x_i};
      wire [PW-1:0] kept;
      if (W_KIND == 1) begin : g_sign
        assign kept = x;
      end else if (W_KIND == 2) begin : g_ternary
        assign kept = x & {PW{w_i[0]}};
      end else begin : g_power
        wire [WW-2:0] e = w_i[WW-2:0];
        assign kept = (e == {WW - 1{1'b0}}) ? {PW{1'b0}} : x << (e - 1'b1);
      end
      assign y_o = kept ^ {PW{w_i[WW-1]}};
    end
  endgenerate

endmodule

`default_nettype wire
