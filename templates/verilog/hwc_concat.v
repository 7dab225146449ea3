// hwc_concat: N streams in turn: BEATS[0] beats of input 0, then BEATS[1] of input 1, .., then input 0 again.
//
// With the beats of a pixel it concatenates channels, with those of a frame the frames. Input k has bit k of s_valid_i
// and s_ready_o, and W bits of s_data_i. Combinational from s_* to m_* (no latency, one beat per cycle), so put a FIFO
// before each input. Does not change lanes: idle lanes in an input's last beat stay where they are.
`default_nettype none

module hwc_concat #(
    parameter            W     = 8,          // bits per beat
    parameter            N     = 2,          // inputs
    parameter [N*32-1:0] BEATS = {N{32'd1}}  // beats of each input in turn, input 0 at the bottom
) (
    input  wire           clk_i,
    input  wire           rst_ni,
    input  wire [  N-1:0] s_valid_i,
    output wire [  N-1:0] s_ready_o,
    input  wire [N*W-1:0] s_data_i,
    output wire           m_valid_o,
    input  wire           m_ready_i,
    output wire [  W-1:0] m_data_o
);

  // The largest of BEATS; 0 if one of them is 0.
  function integer most(input integer unused);
    integer i;
    begin
      most = unused;
      for (i = 0; i < N; i = i + 1) begin
        if (BEATS[i*32 +: 32] == 0 || most < 0) most = -1;
        else if (BEATS[i*32 +: 32] > most) most = BEATS[i*32 +: 32];
      end
    end
  endfunction

  localparam integer MOST = most(0);
  localparam integer NW = (N > 1) ? $clog2(N) : 1;
  localparam integer BW = (MOST > 1) ? $clog2(MOST) : 1;

  generate
    if (W < 1 || N < 1 || MOST < 1) begin : g_check
      hwc_error_concat_needs_n_ge_1_and_beats_ge_1 u_error ();
    end
  endgenerate

  wire [NW-1:0] input_k;  // whose turn it is
  wire [BW-1:0] beat;
  wire          unused_last_k, unused_last_beat;
  reg  [BW-1:0] end_k;    // its last beat
  reg  [ W-1:0] data;
  reg           valid;
  wire          move = valid && m_ready_i;
  wire          next = move && beat == end_k;

  hwc_count #(.N(N), .W(NW)) u_input (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(next), .count_o(input_k), .last_o(unused_last_k)
  );
  hwc_count #(.N(MOST), .W(BW)) u_beat (
      .clk_i(clk_i), .rst_ni(rst_ni && !next), .en_i(move), .count_o(beat), .last_o(unused_last_beat)
  );

  integer k;
  always @* begin
    end_k = BEATS[BW-1:0] - 1'b1;
    data  = s_data_i[W-1:0];
    valid = s_valid_i[0];
    for (k = 1; k < N; k = k + 1) begin
      if (input_k == k[NW-1:0]) begin
        end_k = BEATS[k*32 +: BW] - 1'b1;
        data  = s_data_i[k*W +: W];
        valid = s_valid_i[k];
      end
    end
  end

  genvar i;
  generate
    for (i = 0; i < N; i = i + 1) begin : g_ready
      localparam integer INPUT = i;
      assign s_ready_o[i] = m_ready_i && input_k == INPUT[NW-1:0];
    end
  endgenerate

  assign m_valid_o = valid;
  assign m_data_o  = data;

endmodule

`default_nettype wire
