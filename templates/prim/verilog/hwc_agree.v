// hwc_agree: how many of N pairs of bits agree, modulo 2**OW.
//
// Counters of three pairs (two functions of six bits), added in pairs; every adder takes one more pair as its carry in:
// about 1.5 LUT6 a pair. A register after every second level of adders and one at the end: latency
// 1 + floor(clog2(ceil((N+1)/4))/2) cycles with en_i.
`default_nettype none

module hwc_agree #(
    parameter N  = 1,  // pairs
    parameter OW = 8   // bits of the count, unsigned
) (
    input  wire          clk_i,
    input  wire          en_i,
    input  wire [ N-1:0] x_i,
    input  wire [ N-1:0] w_i,
    output wire [OW-1:0] y_o
);

  localparam integer M = (N + 4) / 4;     // counters
  localparam integer LEVELS = $clog2(M);
  localparam integer SIZE = 4 * M - 1;    // bits that go in, N of them used
  localparam integer CW = LEVELS + 2;     // bits of the count

  // Sums that are left after level l; bits that it and those before it have taken.
  function integer left(input integer l);
    left = (M + (1 << l) - 1) >> l;
  endfunction
  function integer taken(input integer l);
    taken = 3 * M + M - left(l);
  endfunction

  wire [SIZE+N-1:0] same = {{SIZE{1'b0}}, ~(x_i ^ w_i)};
  wire [ CW+OW-1:0] count;
  reg  [    OW-1:0] y_q;
  wire              unused_top = ^{same, count};

  genvar l, i;
  generate
    if (N < 1 || OW < 1) begin : g_check
      hwc_error_agree_sizes_must_be_ge_1 u_error ();
    end
    for (l = 0; l <= LEVELS; l = l + 1) begin : g_level
      localparam integer C = left(l);
      localparam integer W = l + 2;
      localparam integer R = SIZE - taken(l);  // bits for the levels above
      wire [C*W-1:0] sum, node;
      wire [    R:0] rest, kept;  // the top one is none
      wire           unused = ^kept;

      if (l == 0) begin : g_first
        for (i = 0; i < M; i = i + 1) begin : g_counter
          wire a = same[3*i], b = same[3*i+1], c = same[3*i+2];
          assign sum[2*i +: 2] = {(a & b) | (c & (a | b)), a ^ b ^ c};
        end
        assign rest = same[3*M +: R+1];
      end else begin : g_later
        localparam integer CB = left(l - 1);
        localparam integer WB = W - 1;
        for (i = 0; i < C; i = i + 1) begin : g_adder
          if (2 * i + 1 < CB) begin : g_pair
            wire       carry = g_level[l-1].kept[i];  // twice at the bottom: into the adder's carry
            wire [W:0] total = {1'b0, g_level[l-1].node[2*i*WB +: WB], carry}
                             + {1'b0, g_level[l-1].node[(2*i+1)*WB +: WB], carry};
            wire       unused_low = total[0];
            assign sum[i*W +: W] = total[W:1];
          end else begin : g_odd
            assign sum[i*W +: W] = {1'b0, g_level[l-1].node[2*i*WB +: WB]};
          end
        end
        assign rest = g_level[l-1].kept[taken(l)-taken(l-1) +: R+1];
      end

      if (l > 0 && l % 2 == 0) begin : g_reg
        reg [C*W-1:0] node_q;
        reg [    R:0] kept_q;
        always @(posedge clk_i) if (en_i) {kept_q, node_q} <= {rest, sum};
        assign node = node_q;
        assign kept = kept_q;
      end else begin : g_wire
        assign node = sum;
        assign kept = rest;
      end
    end
  endgenerate

  assign count = {{OW{1'b0}}, g_level[LEVELS].node};

  always @(posedge clk_i) if (en_i) y_q <= count[OW-1:0];

  assign y_o = y_q;

endmodule

`default_nettype wire
