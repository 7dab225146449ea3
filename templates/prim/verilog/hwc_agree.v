// hwc_agree: how many of N pairs of bits agree.
//
// A register after the count of every 8 pairs and after every second level of the adder tree above: latency
// 1 + floor(clog2(ceil(N/8))/2) cycles with en_i.
`default_nettype none

module hwc_agree #(
    parameter N  = 1,  // pairs
    parameter OW = 8   // bits of the count, unsigned; modulo 2**OW
) (
    input  wire          clk_i,
    input  wire          en_i,
    input  wire [ N-1:0] x_i,
    input  wire [ N-1:0] w_i,
    output wire [OW-1:0] y_o
);

  localparam integer FIRST = 8;
  localparam integer PARTS = (N + FIRST - 1) / FIRST;
  localparam integer LEVELS = $clog2(PARTS);
  localparam integer CW = 4;            // bits of the first counts
  localparam integer SUM_W = CW + LEVELS;

  genvar l, i;
  generate
    if (N < 1 || OW < 1) begin : g_check
      hwc_error_agree_sizes_must_be_ge_1 u_error ();
    end
    for (l = 0; l <= LEVELS; l = l + 1) begin : g_level
      localparam integer M = (PARTS + (1 << l) - 1) >> l;
      localparam integer W = CW + l;
      wire [M*W-1:0] sum;   // combinational
      wire [M*W-1:0] node;  // what the next level reads

      for (i = 0; i < M; i = i + 1) begin : g_node
        if (l == 0) begin : g_count
          localparam integer B = (N - i * FIRST < FIRST) ? N - i * FIRST : FIRST;
          wire [B-1:0] same = ~(x_i[i*FIRST +: B] ^ w_i[i*FIRST +: B]);
          reg  [CW-1:0] count;
          integer k;
          always @* begin
            count = {CW{1'b0}};
            for (k = 0; k < B; k = k + 1) count = count + {{CW - 1{1'b0}}, same[k]};
          end
          assign sum[i*W +: W] = count;
        end else begin : g_sum
          localparam integer MB = (PARTS + (1 << (l - 1)) - 1) >> (l - 1);
          wire [W-1:0] a = {1'b0, g_level[l-1].node[2*i*(W-1) +: W-1]};
          if (2 * i + 1 < MB) begin : g_two
            assign sum[i*W +: W] = a + {1'b0, g_level[l-1].node[(2*i+1)*(W-1) +: W-1]};
          end else begin : g_one
            assign sum[i*W +: W] = a;
          end
        end
      end

      if (l % 2 == 0) begin : g_reg
        reg [M*W-1:0] node_q;
        always @(posedge clk_i) if (en_i) node_q <= sum;
        assign node = node_q;
      end else begin : g_wire
        assign node = sum;
      end
    end

    if (OW > SUM_W) begin : g_extend
      assign y_o = {{OW - SUM_W{1'b0}}, g_level[LEVELS].node};
    end else begin : g_exact
      wire unused_top = ^g_level[LEVELS].node;
      assign y_o = g_level[LEVELS].node[OW-1:0];
    end
  endgenerate

endmodule

`default_nettype wire
