// hwc_window: sliding windows over frames of HP x WP pixels (padding already inserted) of G words of DW bits.
//
// For each output pixel in raster order, for each of SETS sets of G/SETS words of the pixel, REP times, for each group
// tg of P taps, for each word of the set: one beat of P words, word p = tap tg*P + p (tap ky*KW + kx; beyond the last
// tap some known word). A window starts when all its words are in; latency 4 cycles after that. One beat per cycle, no
// bubble between windows, rows and frames while the words are there. P copies of a circular buffer hold the words until
// no later window needs them: DEPTH = SPAN is enough to work, more hides the jumps at the end of a row or frame. Does
// not insert padding. With BEATS it gives only so many beats of a window, those that S_FILE lists, see hwc_skip.
`default_nettype none

module hwc_window #(
    parameter DW         = 8,  // bits per word
    parameter P          = 1,  // taps per beat
    parameter HP         = 1,  // rows of the padded frame
    parameter WP         = 1,  // columns of the padded frame
    parameter G          = 1,  // words per pixel
    parameter KH         = 1,  // kernel rows
    parameter KW         = 1,  // kernel columns
    parameter SH         = 1,  // row stride
    parameter SW         = 1,  // column stride
    parameter DILH       = 1,  // row dilation
    parameter DILW       = 1,  // column dilation
    parameter REP        = 1,  // how often each window is emitted
    parameter SETS       = 1,  // groups of a convolution; G for depthwise engines
    parameter DEPTH      = 2,  // words of the circular buffer; at least 2 and SPAN
    parameter BEATS      = 0,  // beats of a window where some are left out; 0: all come
    parameter S_FILE     = ""  // with BEATS: the schedule
) (
    input  wire            clk_i,
    input  wire            rst_ni,
    input  wire            s_valid_i,
    output wire            s_ready_o,
    input  wire [  DW-1:0] s_data_i,
    output wire            m_valid_o,
    input  wire            m_ready_i,
    output wire [P*DW-1:0] m_data_o
);

  localparam integer TAPS = KH * KW;
  localparam integer TG = (TAPS + P - 1) / P;
  localparam integer TW = (TG > 1) ? $clog2(TG) : 1;
  localparam integer HO = (HP - (KH - 1) * DILH - 1) / SH + 1;
  localparam integer WO = (WP - (KW - 1) * DILW - 1) / SW + 1;
  localparam integer SPAN = ((KH - 1) * DILH * WP + (KW - 1) * DILW + 1) * G;  // words of a window, gaps included
  localparam integer STEP_X = SW * G;                                          // from a window to the next
  localparam integer STEP_Y = (SH * WP - (WO - 1) * SW) * G;                   // .. to the next row's first
  localparam integer STEP_F = (HP * WP - (HO - 1) * SH * WP - (WO - 1) * SW) * G;  // .. to the next frame's first
  localparam integer AW = $clog2(DEPTH);

  // Offsets of the taps lane, P + lane, 2*P + lane, .. from the window's first word.
  function [TG*32-1:0] offsets_of(input integer lane);
    integer k, t;
    begin
      offsets_of = {TG * 32{1'b0}};
      for (k = 0; k < TG; k = k + 1) begin
        t = k * P + lane;
        offsets_of[k*32 +: 32] = (t < TAPS) ? ((t / KW) * DILH * WP + (t % KW) * DILW) * G : 0;
      end
    end
  endfunction

  wire          ok, room, take, unused_wlast;
  wire [   1:0] kind;
  wire [TW-1:0] tg;
  wire [AW-1:0] waddr, raddr;
  reg           valid_q1, valid_q2, valid_q3, drop_q1, drop_q2;
  reg  [   1:0] kind_q1, kind_q2;
  wire          en = !valid_q3 || m_ready_i;
  wire          write = s_valid_i && room;

  hwc_credit #(.DEPTH(DEPTH), .SPAN(SPAN), .D0(STEP_X), .D1(STEP_Y), .D2(STEP_F)) u_credit (
      .clk_i(clk_i), .rst_ni(rst_ni), .write_i(write), .take_i(take), .kind_i(kind),
      .drop_i(en && valid_q2 && drop_q2), .drop_kind_i(kind_q2), .ok_o(ok), .room_o(room)
  );
  hwc_count #(.N(DEPTH), .W(AW)) u_waddr (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(write), .count_o(waddr), .last_o(unused_wlast)
  );

  // Stages 1 and 2 are the address registers of the taps, 3 is the read register of their memories.
  always @(posedge clk_i) begin
    if (!rst_ni) {valid_q1, valid_q2, valid_q3} <= 3'b000;
    else if (en) {valid_q1, valid_q2, valid_q3} <= {ok, valid_q1, valid_q2};
  end
  always @(posedge clk_i) if (en) {drop_q1, kind_q1, drop_q2, kind_q2} <= {take, kind, drop_q1, kind_q1};

  genvar p;
  generate
    if (BEATS > 0) begin : g_skip
      hwc_skip #(
          .DEPTH(DEPTH), .AW(AW), .G(G), .TG(TG), .TW(TW), .BEATS(BEATS), .WO(WO), .HO(HO), .STEP_X(STEP_X),
          .STEP_Y(STEP_Y), .STEP_F(STEP_F), .S_FILE(S_FILE)
      ) u_walk (
          .clk_i(clk_i), .rst_ni(rst_ni), .en_i(ok && en), .tg_o(tg), .addr_o(raddr), .take_o(take), .kind_o(kind)
      );
    end else begin : g_all
      hwc_walk #(
          .DEPTH(DEPTH), .AW(AW), .G(G), .TG(TG), .TW(TW), .REP(REP), .SETS(SETS), .WO(WO),
          .HO(HO), .STEP_X(STEP_X), .STEP_Y(STEP_Y), .STEP_F(STEP_F)
      ) u_walk (
          .clk_i(clk_i), .rst_ni(rst_ni), .en_i(ok && en), .tg_o(tg), .addr_o(raddr), .take_o(take), .kind_o(kind)
      );
    end
    if (P < 1 || KH < 1 || KW < 1 || DILH < 1 || DILW < 1 || HP < (KH - 1) * DILH + 1 || WP < (KW - 1) * DILW + 1
        || DEPTH < 2 || SETS < 1 || G % SETS != 0) begin : g_check
      hwc_error_window_kernel_must_fit_the_frame_and_depth_ge_2 u_error ();
    end
    for (p = 0; p < P; p = p + 1) begin : g_tap
      hwc_tap #(.DW(DW), .DEPTH(DEPTH), .AW(AW), .TG(TG), .TW(TW), .OFFSETS(offsets_of(p))) u_tap (
          .clk_i(clk_i), .we_i(write), .waddr_i(waddr), .wdata_i(s_data_i),
          .en_i(en), .re_i(valid_q2), .base_i(raddr), .tg_i(tg), .rdata_o(m_data_o[p*DW +: DW])
      );
    end
  endgenerate

  assign s_ready_o = room;
  assign m_valid_o = valid_q3;

endmodule

`default_nettype wire
