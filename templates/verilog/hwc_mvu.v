// hwc_mvu: dot-product engine with weights in ROM, PE outputs at a time from SIMD inputs per beat.
//
// For each group 0..GROUPS-1 it takes CHUNKS beats and gives PE sums of ACC_W bits (two's complement): bias + sum over
// chunks and lanes of x * w. Then around again. ACC_W must hold the final sum; what overflows on the way wraps. Takes a
// beat per cycle. Latency from a group's last beat: 3 + floor(clog2(SIMD)/2) cycles. hwc_window repeats the input.
// Weight ROM: GROUPS*CHUNKS words, address group*CHUNKS + chunk, weight of (pe, lane) at bits [(pe*SIMD+lane)*WW].
// Bias ROM: GROUPS words, bias of pe at bits [pe*ACC_W]. With BEATS only so many beats come, at least one for a group
// (hwc_skip), and the weight ROM has a word for each. N < M (sums come a cycle later), CODE_W, VECTOR: hwc_operands.
`default_nettype none

module hwc_mvu #(
    parameter PE        = 1,   // outputs per group
    parameter SIMD      = 1,   // input lanes per beat
    parameter XW        = 8,   // bits per input lane
    parameter X_SIGNED  = 1,   // 1: inputs are two's complement, 0: unsigned
    parameter X_BIPOLAR = 0,   // 1: inputs are one bit, -1 or +1
    parameter WW        = 8,   // bits per weight
    parameter W_KIND    = 0,   // how weights are held, see hwc_product
    parameter ACC_W     = 32,  // bits per sum and bias
    parameter SIGN      = 0,   // 1: gives one bit per sum: it is not negative
    parameter DOUBLE    = 0,   // 1: adds twice what the lanes give
    parameter GROUPS    = 1,   // groups of outputs
    parameter CHUNKS    = 1,   // beats per group
    parameter BEATS     = 0,   // beats of all groups where some are left out; 0: all come
    parameter ZONES     = 1,   // sets of biases: several where they depend on the place, see hwc_engine
    parameter ROWS      = 1,   // rows of pixels
    parameter COLS      = 1,   // columns of pixels
    parameter [ROWS*32-1:0] ROW_AT = {ROWS*32{1'b0}},  // where the biases of each row are
    parameter [COLS*32-1:0] COL_AT = {COLS*32{1'b0}},  // .. of each column, from there
    parameter MOST      = 5,   // of hwc_agree
    parameter N         = 1,   // lanes multiplied ..
    parameter M         = 1,   // .. of so many that come
    parameter SHARE     = PE,  // outputs that read the same lanes; PE where N = M
    parameter CODE_W    = 0,   // bits per index of weights; 0: no indices
    parameter VECTOR    = 1,   // weights that an index means
    parameter [((VECTOR*WW)<<CODE_W)-1:0] TABLE = {((VECTOR*WW)<<CODE_W){1'b0}},  // these weights
    parameter W_STYLE   = 0,   // memory of the weights, see hwc_rom
    parameter W_FILE    = "",  // weight ROM, hex
    parameter B_FILE    = "",  // bias ROM, hex
    parameter L_FILE    = "",  // with BEATS: which are the last of a group, hex
    parameter I_FILE    = "",  // with N < M: which lanes are multiplied, hex
    parameter X_FILE    = ""   // which lanes count: CHUNKS words of a bit each, hex; none: all do
) (
    input  wire                clk_i,
    input  wire                rst_ni,
    input  wire                s_valid_i,
    output wire                s_ready_o,
    input  wire [SIMD/N*M*XW-1:0] s_data_i,
    output wire                m_valid_o,
    input  wire                m_ready_i,
    output wire [PE*((SIGN != 0) ? 1 : ACC_W)-1:0] m_data_o
);

  localparam integer WORDS = (BEATS > 0) ? BEATS : GROUPS * CHUNKS;
  localparam integer STARTS = ZONES * GROUPS;
  localparam integer GW = (STARTS > 1) ? $clog2(STARTS) : 1;
  localparam integer OW = (SIGN != 0) ? 1 : ACC_W;  // bits per output
  localparam integer WAW = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam AGREE = X_BIPOLAR != 0 && W_KIND == 1;
  localparam integer T = (SIMD + 2) / 3;
  localparam integer STEPS = !AGREE ? 0 : (T / 12 < MOST) ? T / 12 : MOST;
  localparam integer TERMS = AGREE ? (T + 6 * STEPS + 2) / (6 * STEPS + 2) : SIMD;
  localparam integer LAT = 1 + (STEPS + $clog2(TERMS)) / 2 + ((M > N) ? 1 : 0);  // of hwc_dot, behind hwc_select
  generate
    if (PE < 1 || SIMD < 1 || XW < 1 || WW < 1 || ACC_W < 2 || GROUPS < 1 || CHUNKS < 1) begin : g_check
      hwc_error_mvu_sizes_must_be_ge_1 u_error ();
    end
  endgenerate

  wire [(PE+SHARE-1)/SHARE*SIMD*XW-1:0] x;
  wire [  PE*SIMD*WW-1:0] w;
  wire [    PE*ACC_W-1:0] bias;
  wire [         WAW-1:0] waddr;
  wire [          GW-1:0] baddr;
  wire                    en, take, unused_last, load, add, first;
  hwc_engine #(
      .GROUPS(GROUPS), .CHUNKS(CHUNKS), .BEATS(BEATS), .L_FILE(L_FILE), .LAT(LAT), .WAW(WAW), .GW(GW), .ROWS(ROWS),
      .COLS(COLS), .ROW_AT(ROW_AT), .COL_AT(COL_AT)
  ) u_engine (
      .clk_i(clk_i), .rst_ni(rst_ni), .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .m_valid_o(m_valid_o),
      .m_ready_i(m_ready_i), .en_o(en), .take_o(take), .waddr_o(waddr), .last_o(unused_last), .load_o(load),
      .baddr_o(baddr), .add_o(add), .first_o(first)
  );
  hwc_operands #(
      .AW(WAW), .PE(PE), .XW(XW), .WW(WW), .N(N), .M(M), .SHARE(SHARE), .VECTOR(VECTOR), .TABLE(TABLE), .CODE_W(CODE_W),
      .SIMD(SIMD), .DEPTH(WORDS), .CHUNKS(CHUNKS), .W_STYLE(W_STYLE), .W_FILE(W_FILE), .I_FILE(I_FILE), .X_FILE(X_FILE)
  ) u_operands (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(en), .take_i(take), .addr_i(waddr), .data_i(s_data_i), .x_o(x), .w_o(w)
  );
  hwc_rom #(.W(PE * ACC_W), .DEPTH(STARTS), .AW(GW), .MEM_FILE(B_FILE)) u_bias (
      .clk_i(clk_i), .en_i(load), .addr_i(baddr), .data_o(bias)
  );

  genvar i;
  generate
    for (i = 0; i < PE; i = i + 1) begin : g_pe
      wire [ACC_W-1:0] dot, sum;
      wire [ACC_W:0]   twice = {dot, 1'b0};
      wire             unused_top = ^{twice, sum};
      hwc_dot #(
          .SIMD(SIMD), .XW(XW), .X_SIGNED(X_SIGNED), .X_BIPOLAR(X_BIPOLAR), .WW(WW), .W_KIND(W_KIND), .MOST(MOST),
          .OW(ACC_W)
      ) u_dot (
          .clk_i(clk_i), .en_i(en), .x_i(x[i/SHARE*SIMD*XW +: SIMD*XW]), .w_i(w[i*SIMD*WW +: SIMD*WW]), .y_o(dot)
      );
      hwc_accum #(.W(ACC_W)) u_accum (
          .clk_i(clk_i), .en_i(add), .first_i(first), .start_i(bias[i*ACC_W +: ACC_W]),
          .add_i((DOUBLE != 0) ? twice[ACC_W-1:0] : dot), .sum_o(sum)
      );
      if (SIGN != 0) begin : g_sign
        hwc_sign #(.LANES(1), .W(ACC_W)) u_sign (.data_i(sum), .data_o(m_data_o[i]));
      end else begin : g_sum
        assign m_data_o[i*OW +: OW] = sum;
      end
    end
  endgenerate

endmodule

`default_nettype wire
