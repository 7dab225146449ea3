// hwc_engine: control of an engine that adds up CHUNKS beats for each of GROUPS results, then around again.
//
// Stage 0 holds a beat beside its weight word, stage LAT what the beat adds; then come the accumulators, which are the
// output registers. en_o moves all of it: one beat per cycle, latency LAT + 2 cycles from the last beat of a group.
// With BEATS a group takes as many beats as its zero weights leave, at least one; L_FILE has a bit for each beat that
// says whether it is the last of its group.
// Results come in rows and columns of GROUPS; the start word of one is at group + ROW_AT[row] + COL_AT[column].
// Knows no data.
`default_nettype none

module hwc_engine #(
    parameter GROUPS = 1,  // groups of results
    parameter CHUNKS = 1,  // beats per group
    parameter BEATS  = 0,  // beats of all groups where some are left out; 0: all come
    parameter L_FILE = "", // with BEATS: which are the last of a group, hex
    parameter LAT    = 1,  // cycles with en_o from stage 0 to the accumulators' input
    parameter WAW    = 1,  // width of waddr_o; 2**WAW >= beats of all groups
    parameter GW     = 1,  // width of baddr_o; 2**GW >= words of biases
    parameter ROWS   = 1,  // rows of results
    parameter COLS   = 1,  // columns of results
    parameter [ROWS*32-1:0] ROW_AT = {ROWS*32{1'b0}},  // where each row's biases are, the first at the bottom
    parameter [COLS*32-1:0] COL_AT = {COLS*32{1'b0}}   // .. and each column's, from there
) (
    input  wire           clk_i,
    input  wire           rst_ni,
    input  wire           s_valid_i,
    output wire           s_ready_o,
    output wire           m_valid_o,
    input  wire           m_ready_i,
    output wire           en_o,     // all stages move
    output wire           take_o,   // a beat enters stage 0, and weight word waddr_o with it
    output wire [WAW-1:0] waddr_o,
    output wire           last_o,   // stage 0 holds the last beat of a group
    output wire           load_o,   // read bias word baddr_o: it is needed in the next stage
    output wire [ GW-1:0] baddr_o,
    output wire           add_o,    // the accumulators add
    output wire           first_o   // .. the first beat of a group: they start from the bias
);

  localparam integer WORDS = (BEATS > 0) ? BEATS : GROUPS * CHUNKS;
  localparam integer CW = (CHUNKS > 1) ? $clog2(CHUNKS) : 1;

  generate
    if (GROUPS < 1 || CHUNKS < 1 || LAT < 1) begin : g_check
      hwc_error_engine_needs_groups_chunks_and_lat_ge_1 u_error ();
    end
  endgenerate

  reg           valid_q;
  reg  [LAT:0]  beat_q;   // a beat is in this stage
  reg  [LAT:0]  first_q;  // .. the first of a group
  reg  [LAT:0]  last_q;   // .. the last of a group
  wire [CW-1:0] chunk;
  wire          last, unused_wlast;
  wire [ LAT:0] firsts, lasts;  // .. as first_q and last_q, or for stage 0 from L_FILE

  hwc_count #(.N(CHUNKS), .W(CW)) u_chunk (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take_o), .count_o(chunk), .last_o(last)
  );
  hwc_count #(.N(WORDS), .W(WAW)) u_waddr (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take_o), .count_o(waddr_o), .last_o(unused_wlast)
  );
  hwc_zone #(.GROUPS(GROUPS), .W(GW), .ROWS(ROWS), .COLS(COLS), .ROW_AT(ROW_AT), .COL_AT(COL_AT)) u_baddr (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(load_o), .addr_o(baddr_o)
  );

  always @(posedge clk_i) begin
    if (!rst_ni) begin
      beat_q  <= {LAT + 1{1'b0}};
      valid_q <= 1'b0;
    end else if (en_o) begin
      beat_q  <= {beat_q[LAT-1:0], s_valid_i};
      valid_q <= beat_q[LAT] && (CHUNKS == 1 || lasts[LAT]);
    end
  end
  always @(posedge clk_i) begin
    if (en_o) first_q <= {firsts[LAT-1:0], chunk == {CW{1'b0}}};
    if (en_o) last_q <= {lasts[LAT-1:0], last};
  end

  generate
    if (BEATS > 0) begin : g_skip
      reg  fresh_q;  // the next beat in stage 0 is the first of a group
      wire ends;     // stage 0 holds the last beat of a group
      wire unused = ^{first_q[0], last_q[0]};
      hwc_rom #(.W(1), .DEPTH(WORDS), .AW(WAW), .MEM_FILE(L_FILE)) u_last (
          .clk_i(clk_i), .en_i(take_o), .addr_i(waddr_o), .data_o(ends)
      );
      always @(posedge clk_i) begin
        if (!rst_ni) fresh_q <= 1'b1;
        else if (en_o && beat_q[0]) fresh_q <= ends;
      end
      assign firsts = {first_q[LAT:1], fresh_q};
      assign lasts  = {last_q[LAT:1], ends};
    end else begin : g_all
      assign firsts = first_q;
      assign lasts  = last_q;
    end
  endgenerate

  assign en_o      = !valid_q || m_ready_i;
  assign take_o    = en_o && s_valid_i;
  assign last_o    = CHUNKS == 1 || lasts[0];
  assign load_o    = en_o && beat_q[LAT-1] && (CHUNKS == 1 || firsts[LAT-1]);
  assign add_o     = en_o && beat_q[LAT];
  assign first_o   = CHUNKS == 1 || firsts[LAT];
  assign s_ready_o = en_o;
  assign m_valid_o = valid_q;

endmodule

`default_nettype wire
