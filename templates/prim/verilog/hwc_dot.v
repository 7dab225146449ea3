// hwc_dot: dot product of SIMD inputs with SIMD weights; hwc_product says how these are held, and what a product is.
//
// A register after the multipliers and after every second level of the adder tree: latency
// 1 + floor(clog2(SIMD)/2) cycles with en_i. y_o is the sum modulo 2**OW, with its sign extended to OW bits.
// X_BIPOLAR with W_KIND 1: pairs of bits that agree, see hwc_agree, which also says the latency.
`default_nettype none

module hwc_dot #(
    parameter SIMD      = 1,  // lanes
    parameter XW        = 8,  // bits per input
    parameter X_SIGNED  = 1,  // 1: inputs are two's complement, 0: unsigned
    parameter X_BIPOLAR = 0,  // 1: inputs are one bit
    parameter WW        = 8,  // bits per weight
    parameter W_KIND    = 0,  // how weights are held: 0 two's complement, 1 sign, 2 ternary, 3 power of two
    parameter ONES      = 0,  // 1: all weights are 1, w_i is ignored; WW must be 1
    parameter OW        = 32  // bits of the sum
) (
    input  wire               clk_i,
    input  wire               en_i,
    input  wire [SIMD*XW-1:0] x_i,
    input  wire [SIMD*WW-1:0] w_i,
    output wire [     OW-1:0] y_o
);

  localparam integer LEVELS = $clog2(SIMD);
  localparam AGREE = X_BIPOLAR != 0 && W_KIND == 1;
  localparam integer KEPT = (W_KIND == 3) ? XW + (1 << (WW - 1)) - 1 : XW + 1;
  localparam integer PW = (X_BIPOLAR != 0) ? WW : (W_KIND == 0) ? XW + WW : KEPT;  // bits of a product
  localparam integer SUM_W = PW + LEVELS;  // bits of the exact sum

  // Level l holds ceil(SIMD / 2**l) sums of the least bits that are exact, or of OW bits.
  genvar l, i;
  generate
    if (SIMD < 1 || XW < 1 || WW < 1 || OW < 1 || (ONES != 0 && WW != 1)) begin : g_check
      hwc_error_dot_sizes_must_be_ge_1_and_ww_1_for_ones u_error ();
    end
    if (AGREE) begin : g_agree
      hwc_agree #(.N(SIMD), .OW(OW)) u_agree (.clk_i(clk_i), .en_i(en_i), .x_i(x_i), .w_i(w_i), .y_o(y_o));
    end
    for (l = 0; l <= LEVELS && !AGREE; l = l + 1) begin : g_level
      localparam integer N = (SIMD + (1 << l) - 1) >> l;
      localparam integer W = (PW + l < OW) ? PW + l : OW;
      wire [N*W-1:0] sum;   // combinational
      wire [N*W-1:0] node;  // what the next level reads

      for (i = 0; i < N; i = i + 1) begin : g_node
        if (l == 0) begin : g_product
          if (ONES != 0) begin : g_one
            wire [XW:0] x = {X_SIGNED != 0 && x_i[i*XW+XW-1], x_i[i*XW +: XW]};
            wire unused = &{1'b0, x, w_i[i*WW +: WW]};
            assign sum[i*W +: W] = x[W-1:0];
          end else begin : g_weight
            wire [PW-1:0] product;
            wire unused_top = ^product;
            hwc_product #(
                .XW(XW), .X_SIGNED(X_SIGNED), .X_BIPOLAR(X_BIPOLAR), .WW(WW), .W_KIND(W_KIND), .PW(PW)
            ) u_product (.x_i(x_i[i*XW +: XW]), .w_i(w_i[i*WW +: WW]), .y_o(product));
            assign sum[i*W +: W] = product[W-1:0];
          end
        end else begin : g_sum
          localparam integer NB = (SIMD + (1 << (l - 1)) - 1) >> (l - 1);
          localparam integer WB = (PW + l - 1 < OW) ? PW + l - 1 : OW;
          wire [W-1:0] a = {{W - WB{g_level[l-1].node[2*i*WB+WB-1]}}, g_level[l-1].node[2*i*WB +: WB]};
          if (2 * i + 1 < NB) begin : g_two
            wire [W-1:0] b = {{W - WB{g_level[l-1].node[(2*i+1)*WB+WB-1]}}, g_level[l-1].node[(2*i+1)*WB +: WB]};
            assign sum[i*W +: W] = a + b;
          end else begin : g_one
            assign sum[i*W +: W] = a;
          end
        end
      end

      if (l % 2 == 0) begin : g_reg
        reg [N*W-1:0] node_q;
        always @(posedge clk_i) if (en_i) node_q <= sum;
        assign node = node_q;
      end else begin : g_wire
        assign node = sum;
      end
    end

    if (AGREE) begin : g_counted
    end else if (OW > SUM_W) begin : g_extend
      assign y_o = {{OW - SUM_W{g_level[LEVELS].node[SUM_W-1]}}, g_level[LEVELS].node};
    end else begin : g_exact
      assign y_o = g_level[LEVELS].node;
    end
  endgenerate

endmodule

`default_nettype wire
