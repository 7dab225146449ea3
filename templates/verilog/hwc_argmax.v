// hwc_argmax: index of the largest of C channels that arrive in G beats; the lowest index on ties.
//
// Lanes beyond channel C-1 in the last beat are ignored. One beat per cycle in, one index per pixel out; latency
// from the pixel's last beat: clog2(LANES) + 2 cycles.
`default_nettype none

module hwc_argmax #(
    parameter LANES     = 1,  // lanes per beat
    parameter EW        = 8,  // bits per lane
    parameter IS_SIGNED = 1,  // 1: lanes are two's complement, 0: unsigned
    parameter C         = 1,  // channels
    parameter G         = 1,  // beats per pixel: ceil(C/LANES)
    parameter IW        = 1   // bits of the index; 2**IW >= C
) (
    input  wire                clk_i,
    input  wire                rst_ni,
    input  wire                s_valid_i,
    output wire                s_ready_o,
    input  wire [LANES*EW-1:0] s_data_i,
    output wire                m_valid_o,
    input  wire                m_ready_i,
    output wire [      IW-1:0] m_data_o
);

  localparam integer LEVELS = $clog2(LANES);
  localparam integer REST = C - (G - 1) * LANES;  // lanes in use in the last beat
  localparam integer GW = (G > 1) ? $clog2(G) : 1;
  localparam integer STEP = LANES;
  localparam integer NW = 1 + IW + EW;  // bits of a candidate

  reg             valid_q;
  reg  [LEVELS:0] beat_q, first_q, last_q;  // per tree level
  wire [  GW-1:0] group;
  wire            last;
  wire            en = !valid_q || m_ready_i;

  hwc_count #(.N(G), .W(GW)) u_group (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(en && s_valid_i), .count_o(group), .last_o(last)
  );

  // Tree level l leaves ceil(LANES / 2**l) candidates {in use, lane, value}; the later one wins if it is larger.
  genvar l, i;
  generate
    if (LANES < 1 || EW < 1 || C < 1 || IW < 1 || IW < $clog2(C) || REST < 1 || REST > LANES) begin : g_check
      hwc_error_argmax_needs_g_eq_ceil_c_over_lanes_and_iw_ge_clog2_c u_error ();
    end
    for (l = 0; l <= LEVELS; l = l + 1) begin : g_level
      localparam integer N = (LANES + (1 << l) - 1) >> l;
      reg [N*NW-1:0] node_q;
      for (i = 0; i < N; i = i + 1) begin : g_node
        if (l == 0) begin : g_lane
          localparam integer LANE = i;
          always @(posedge clk_i) begin
            if (en) node_q[i*NW +: NW] <= {!last || (i < REST), LANE[IW-1:0], s_data_i[i*EW +: EW]};
          end
        end else if (2 * i + 1 < ((LANES + (1 << (l - 1)) - 1) >> (l - 1))) begin : g_pair
          wire [NW-1:0] a = g_level[l-1].node_q[2*i*NW +: NW];
          wire [NW-1:0] b = g_level[l-1].node_q[(2*i+1)*NW +: NW];
          wire          ge;
          hwc_ge #(.EW(EW), .IS_SIGNED(IS_SIGNED)) u_ge (.a_i(a[EW-1:0]), .b_i(b[EW-1:0]), .ge_o(ge));
          always @(posedge clk_i) begin
            if (en) node_q[i*NW +: NW] <= (b[NW-1] && !ge) ? b : a;
          end
        end else begin : g_odd
          always @(posedge clk_i) begin
            if (en) node_q[i*NW +: NW] <= g_level[l-1].node_q[2*i*NW +: NW];
          end
        end
      end
    end
  endgenerate

  // The best of the pixel so far.
  wire [EW-1:0] value;
  wire [IW-1:0] lane;
  wire          unused_used;
  reg  [EW-1:0] best_q;
  reg  [IW-1:0] index_q;
  reg  [IW-1:0] base_q;  // first channel of the beat
  wire [IW-1:0] base = first_q[LEVELS] ? {IW{1'b0}} : base_q;
  wire          ge;
  assign {unused_used, lane, value} = g_level[LEVELS].node_q;

  hwc_ge #(.EW(EW), .IS_SIGNED(IS_SIGNED)) u_ge (.a_i(best_q), .b_i(value), .ge_o(ge));

  integer k;
  always @(posedge clk_i) begin
    if (en) begin
      beat_q[0]  <= s_valid_i;
      first_q[0] <= group == {GW{1'b0}};
      last_q[0]  <= last;
      for (k = 1; k <= LEVELS; k = k + 1) begin
        {beat_q[k], first_q[k], last_q[k]} <= {beat_q[k-1], first_q[k-1], last_q[k-1]};
      end
      valid_q <= beat_q[LEVELS] && last_q[LEVELS];
    end
    if (en && beat_q[LEVELS]) begin
      base_q <= base + STEP[IW-1:0];
      if (first_q[LEVELS] || !ge) {index_q, best_q} <= {base + lane, value};
    end
    if (!rst_ni) begin
      beat_q  <= {LEVELS + 1{1'b0}};
      valid_q <= 1'b0;
    end
  end

  assign s_ready_o = en;
  assign m_valid_o = valid_q;
  assign m_data_o  = index_q;

endmodule

`default_nettype wire
