// hwc_select: N of every M lanes, by index, for each of SETS readers: the inputs of weights that are not zero.
//
// Output lane k of the N of a group takes lane k + index of the group's M: lanes keep their order, so an index is one
// of M - N + 1, and M - N + 1 lanes are all that a multiplexer sees. Latency 1, with en_i. Index of (set, group, k) at
// bits [((set*GROUPS + group)*N + k)*IW] with IW = clog2(M - N + 1).
`default_nettype none

module hwc_select #(
    parameter SETS   = 1,  // selections of the same lanes
    parameter GROUPS = 1,  // groups of M lanes
    parameter N      = 2,  // lanes taken of each group
    parameter M      = 4,  // .. of so many
    parameter IW     = 2,  // bits per index
    parameter XW     = 8   // bits per lane
) (
    input  wire                        clk_i,
    input  wire                        en_i,
    input  wire [     GROUPS*M*XW-1:0] data_i,
    input  wire [SETS*GROUPS*N*IW-1:0] index_i,
    output reg  [SETS*GROUPS*N*XW-1:0] data_o
);

  localparam integer WAYS = M - N + 1;

  generate
    if (SETS < 1 || GROUPS < 1 || XW < 1 || N < 1 || M <= N || IW != $clog2(WAYS)) begin : g_check
      hwc_error_select_needs_1_le_n_lt_m_and_iw_eq_clog2_ways u_error ();
    end
  endgenerate

  wire [SETS*GROUPS*N*XW-1:0] data;

  genvar i, b, k;
  generate
    for (i = 0; i < SETS * GROUPS * N; i = i + 1) begin : g_lane
      localparam integer FROM = i / N % GROUPS * M + i % N;
      wire [IW-1:0] index = index_i[i*IW +: IW];
      for (b = 0; b < XW; b = b + 1) begin : g_bit
        wire [(1<<IW)-1:0] ways;  // as many as an index can say; those beyond the last are never meant
        for (k = 0; k < (1 << IW); k = k + 1) begin : g_way
          assign ways[k] = data_i[(FROM+((k<WAYS)?k:WAYS-1))*XW + b];
        end
        assign data[i*XW + b] = ways[index];
      end
    end
  endgenerate

  always @(posedge clk_i) if (en_i) data_o <= data;

endmodule

`default_nettype wire
