// hwc_threshold: outputs of few bits per lane: y = LO + STEP*#{i : a >= T_i}, or N - # in channels that fall.
//
// a and T are two's complement; y is the low OUT_W bits of the result. Beats cycle through GROUPS ROM words; CONST:
// one set T of thresholds for all channels, no ROM. One beat per cycle. Latency: 1 cycle, 2 with N > 1; a ROM 1 more.
// ROM: GROUPS words; lane i at bits [i*(N*ACC_W+1)]: N thresholds, the first at the bottom, then 1 where it falls.
`default_nettype none

module hwc_threshold #(
    parameter                   LANES  = 1,                 // lanes per beat
    parameter                   ACC_W  = 8,                 // bits per input lane
    parameter                   N      = 1,                 // thresholds per channel
    parameter integer           LO     = 0,                 // lowest output
    parameter                   STEP   = 1,                 // 1 or 2
    parameter                   OUT_W  = 1,                 // bits per output lane, at most 30
    parameter                   GROUPS = 1,                 // beats per pixel
    parameter                   CONST  = 0,                 // 1: all channels alike
    parameter [N*ACC_W:0]       T      = {N*ACC_W+1{1'b0}}, // .. their word of the ROM
    parameter                   T_FILE = ""                 // ROM, hex
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire                   s_valid_i,
    output wire                   s_ready_o,
    input  wire [LANES*ACC_W-1:0] s_data_i,
    output wire                   m_valid_o,
    input  wire                   m_ready_i,
    output wire [LANES*OUT_W-1:0] m_data_o
);

  localparam integer TW = N * ACC_W + 1;
  localparam integer LAT = ((CONST != 0) ? 0 : 1) + ((N > 1) ? 2 : 1);
  localparam integer GW = (GROUPS > 1) ? $clog2(GROUPS) : 1;

  reg  [          LAT-1:0] valid_q;
  wire [LANES*ACC_W-1:0] a;
  wire [   LANES*TW-1:0] t;
  wire                   en = !valid_q[LAT-1] || m_ready_i;
  wire                   take = en && s_valid_i;
  wire [          LAT:0] valid_d = {valid_q, s_valid_i};

  always @(posedge clk_i) begin
    if (!rst_ni) valid_q <= {LAT{1'b0}};
    else if (en) valid_q <= valid_d[LAT-1:0];
  end

  generate
    if (LANES < 1 || N < 1 || GROUPS < 1) begin : g_check
      hwc_error_threshold_sizes_must_be_ge_1 u_error ();
    end
    if (CONST != 0) begin : g_const
      wire unused = take;
      assign a = s_data_i;
      assign t = {LANES{T}};
    end else begin : g_rom
      reg  [LANES*ACC_W-1:0] a_q;
      wire [GW-1:0]          group;
      wire                   unused_last;
      always @(posedge clk_i) if (take) a_q <= s_data_i;
      assign a = a_q;
      hwc_count #(.N(GROUPS), .W(GW)) u_group (
          .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take), .count_o(group), .last_o(unused_last)
      );
      hwc_rom #(.W(LANES * TW), .DEPTH(GROUPS), .AW(GW), .MEM_FILE(T_FILE)) u_t (
          .clk_i(clk_i), .en_i(take), .addr_i(group), .data_o(t)
      );
    end
  endgenerate

  wire unused_top = valid_d[LAT];

  genvar i;
  generate
    for (i = 0; i < LANES; i = i + 1) begin : g_lane
      hwc_threshold_lane #(.ACC_W(ACC_W), .N(N), .LO(LO), .STEP(STEP), .OUT_W(OUT_W)) u_lane (
          .clk_i(clk_i), .en_i(en), .a_i(a[i*ACC_W +: ACC_W]), .t_i(t[i*TW +: TW-1]), .down_i(t[i*TW+TW-1]),
          .y_o(m_data_o[i*OUT_W +: OUT_W])
      );
    end
  endgenerate

  assign s_ready_o = en;
  assign m_valid_o = valid_q[LAT-1];

endmodule

`default_nettype wire
