// hwc_operands: what the dot products of hwc_mvu and hwc_dwc multiply: the lanes of a beat in a register, its weights
// from a ROM.
//
// Both are there in the cycle after take_i. With N < M a beat has M lanes for every N, of which indices in a ROM take
// N, for each SHARE outputs others (hwc_select); lanes and weights then come a cycle with en_i later. With CODE_W the
// ROM has an index of so many bits for each VECTOR weights of an output, and TABLE the weights.
`default_nettype none

module hwc_operands #(
    parameter PE      = 1,   // outputs
    parameter SIMD    = 1,   // lanes of a dot product
    parameter XW      = 8,   // bits per input lane
    parameter WW      = 8,   // bits per weight
    parameter N       = 1,   // lanes taken ..
    parameter M       = 1,   // .. of so many
    parameter SHARE   = PE,  // outputs with the same lanes
    parameter CODE_W  = 0,   // bits per index; 0: the ROM has weights
    parameter VECTOR  = 1,   // weights that an index means; 1 without indices
    parameter [((VECTOR*WW)<<CODE_W)-1:0] TABLE = {((VECTOR*WW)<<CODE_W){1'b0}},  // of hwc_table
    parameter DEPTH   = 1,   // words of weights
    parameter AW      = 1,   // width of addr_i
    parameter CHUNKS  = 1,   // of hwc_mask
    parameter W_STYLE = 0,   // memory of the weights, see hwc_rom
    parameter W_FILE  = "",  // DEPTH words of PE*SIMD weights, or of their indices, hex
    parameter I_FILE  = "",  // with N < M: DEPTH words of indices
    parameter X_FILE  = ""   // of hwc_mask
) (
    input  wire                                  clk_i,
    input  wire                                  rst_ni,
    input  wire                                  en_i,    // all stages move
    input  wire                                  take_i,  // a beat enters
    input  wire [                        AW-1:0] addr_i,  // .. and reads this word
    input  wire [               SIMD/N*M*XW-1:0] data_i,
    output wire [(PE+SHARE-1)/SHARE*SIMD*XW-1:0] x_o,     // of each SHARE outputs
    output wire [                PE*SIMD*WW-1:0] w_o
);

  localparam integer LANES = SIMD / N * M;
  localparam integer SETS = (PE + SHARE - 1) / SHARE;
  localparam integer STORED = PE * SIMD / VECTOR * ((CODE_W > 0) ? CODE_W : WW);  // bits of a word
  localparam integer IW = (M > N) ? $clog2(M - N + 1) : 1;

  generate
    if (N < 1 || M < N || SIMD % N != 0 || SHARE < 1 || (M == N && SHARE < PE)) begin : g_check
      hwc_error_operands_need_n_le_m_and_n_divides_simd u_error ();
    end
    if (VECTOR < 1 || SIMD % VECTOR != 0 || (CODE_W == 0 && VECTOR > 1)) begin : g_check_vector
      hwc_error_operands_need_whole_vectors_of_indices u_error ();
    end
  endgenerate

  wire [LANES*XW-1:0] x;
  reg  [LANES*XW-1:0] x_q;
  wire [      AW-1:0] addr;
  wire                read;
  wire [  STORED-1:0] stored;

  hwc_mask #(.LANES(LANES), .XW(XW), .CHUNKS(CHUNKS), .MEM_FILE(X_FILE)) u_mask (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take_i), .data_i(data_i), .data_o(x)
  );
  hwc_rom #(.W(STORED), .DEPTH(DEPTH), .AW(AW), .STYLE(W_STYLE), .MEM_FILE(W_FILE)) u_weights (
      .clk_i(clk_i), .en_i(read), .addr_i(addr), .data_o(stored)
  );

  always @(posedge clk_i) if (take_i) x_q <= x;

  generate
    if (CODE_W > 0) begin : g_codes
      hwc_table #(.LANES(PE * SIMD / VECTOR), .CW(CODE_W), .W(VECTOR * WW), .TABLE(TABLE)) u_table (
          .code_i(stored), .data_o(w_o)
      );
    end else begin : g_weights
      assign w_o = stored;
    end
    if (M > N) begin : g_select
      wire [SETS*SIMD*IW-1:0] index;
      reg  [          AW-1:0] addr_q;
      hwc_rom #(.W(SETS * SIMD * IW), .DEPTH(DEPTH), .AW(AW), .MEM_FILE(I_FILE)) u_index (
          .clk_i(clk_i), .en_i(take_i), .addr_i(addr_i), .data_o(index)
      );
      hwc_select #(.SETS(SETS), .GROUPS(SIMD / N), .N(N), .M(M), .IW(IW), .XW(XW)) u_select (
          .clk_i(clk_i), .en_i(en_i), .data_i(x_q), .index_i(index), .data_o(x_o)
      );
      always @(posedge clk_i) if (take_i) addr_q <= addr_i;
      assign addr = addr_q;
      assign read = en_i;
    end else begin : g_all
      wire unused = en_i;
      assign addr = addr_i;
      assign read = take_i;
      assign x_o  = x_q;
    end
  endgenerate

endmodule

`default_nettype wire
