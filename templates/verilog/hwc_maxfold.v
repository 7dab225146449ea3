// hwc_maxfold: maxima over windows of a line of N vectors of V beats, element by element.
//
// Window o covers vectors o*S .. o*S+K-1; its maximum, V beats, leaves with the beats of the window's last vector.
// Vectors that no window covers are dropped. Takes one beat per cycle, latency 1 cycle, lines back to back.
// ceil(K/S) windows are open at a time; each has a delay line of V beats for its partial maximum.
`default_nettype none

module hwc_maxfold #(
    parameter LANES     = 1,  // lanes per beat
    parameter EW        = 8,  // bits per lane
    parameter IS_SIGNED = 1,  // 1: lanes are two's complement, 0: unsigned
    parameter V         = 1,  // beats per vector
    parameter N         = 1,  // vectors per line
    parameter K         = 1,  // window
    parameter S         = 1   // stride
) (
    input  wire                clk_i,
    input  wire                rst_ni,
    input  wire                s_valid_i,
    output wire                s_ready_o,
    input  wire [LANES*EW-1:0] s_data_i,
    output wire                m_valid_o,
    input  wire                m_ready_i,
    output wire [LANES*EW-1:0] m_data_o
);

  localparam integer DW = LANES * EW;
  localparam integer SLOTS = (K + S - 1) / S;
  localparam integer VW = (V > 1) ? $clog2(V) : 1;
  localparam integer NW = (N > 1) ? $clog2(N) : 1;
  localparam integer JW = (SLOTS > 1) ? $clog2(SLOTS) : 1;
  localparam integer PW = $clog2(K > S ? K + 1 : S + 1);
  localparam integer WAIT0 = K - 1;
  localparam integer WAIT = S - 1;

  reg               valid_q;
  reg  [    DW-1:0] max_q;
  reg  [    PW-1:0] until_q;   // vectors to go to the end of the oldest open window
  reg  [    PW-1:0] start_q;   // vectors to go to the start of the next window
  wire [    VW-1:0] unused_v;
  wire [    NW-1:0] unused_n;
  wire              last_v, last_n, unused_open, unused_close;
  wire [    JW-1:0] open, close;  // slot of the window that starts next and of the one that ends next
  wire [SLOTS*DW-1:0] partial;
  wire              en = !valid_q || m_ready_i;
  wire              take = en && s_valid_i;
  wire              next = take && last_v;
  wire              starts = start_q == {PW{1'b0}};
  wire              ends = until_q == {PW{1'b0}};

  hwc_count #(.N(V), .W(VW)) u_v (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take), .count_o(unused_v), .last_o(last_v)
  );
  hwc_count #(.N(N), .W(NW)) u_n (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(next), .count_o(unused_n), .last_o(last_n)
  );
  // The slots are used in turn; a new line begins with slot 0.
  hwc_count #(.N(SLOTS), .W(JW)) u_open (
      .clk_i(clk_i), .rst_ni(rst_ni && !(next && last_n)), .en_i(next && starts), .count_o(open), .last_o(unused_open)
  );
  hwc_count #(.N(SLOTS), .W(JW)) u_close (
      .clk_i(clk_i), .rst_ni(rst_ni && !(next && last_n)), .en_i(next && ends), .count_o(close), .last_o(unused_close)
  );

  always @(posedge clk_i) begin
    if (!rst_ni || (next && last_n)) begin
      start_q <= {PW{1'b0}};
      until_q <= WAIT0[PW-1:0];
    end else if (next) begin
      start_q <= starts ? WAIT[PW-1:0] : start_q - 1'b1;
      until_q <= ends ? WAIT[PW-1:0] : until_q - 1'b1;
    end
  end

  genvar j;
  generate
    if (LANES < 1 || EW < 1 || V < 1 || K < 1 || S < 1 || N < K) begin : g_check
      hwc_error_maxfold_window_must_fit u_error ();
    end
    for (j = 0; j < SLOTS; j = j + 1) begin : g_slot
      if (K == 1) begin : g_none
        wire unused = &{1'b0, open};
        assign partial[j*DW +: DW] = s_data_i;
      end else begin : g_partial
        localparam integer SLOT = j;
        wire [DW-1:0] old, larger;
        hwc_max #(.LANES(LANES), .EW(EW), .IS_SIGNED(IS_SIGNED)) u_max (.a_i(old), .b_i(s_data_i), .y_o(larger));
        assign partial[j*DW +: DW] = (starts && open == SLOT[JW-1:0]) ? s_data_i : larger;
        hwc_delay #(.W(DW), .N(V)) u_old (
            .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take), .d_i(partial[j*DW +: DW]), .q_o(old)
        );
      end
    end
  endgenerate

  reg     [DW-1:0] done;  // the partial maximum of the window that ends next
  integer          k;
  always @* begin
    done = partial[DW-1:0];
    for (k = 1; k < SLOTS; k = k + 1) begin
      if (close == k[JW-1:0]) done = partial[k*DW +: DW];
    end
  end

  always @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (en) valid_q <= s_valid_i && ends;
  end
  always @(posedge clk_i) begin
    if (take && ends) max_q <= done;
  end

  assign s_ready_o = en;
  assign m_valid_o = valid_q;
  assign m_data_o  = max_q;

endmodule

`default_nettype wire
