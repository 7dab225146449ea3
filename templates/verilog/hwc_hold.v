// hwc_hold: keeps the beats of a frame until the last one is in, then gives them out beside a value of the whole frame.
//
// The value is what stands at s_fold_i with a frame's last beat; it is m_fold_o with each of its beats on the way out.
// The buffer holds two frames and a few beats, so that frames run back to back at one beat per cycle. Latency from the
// frame's last beat: 2 cycles. s_ready_o depends on registers only.
`default_nettype none

module hwc_hold #(
    parameter DW = 8,  // bits per beat
    parameter FW = 8,  // bits of the frame's value
    parameter N  = 2   // beats per frame
) (
    input  wire          clk_i,
    input  wire          rst_ni,
    input  wire          s_valid_i,
    output wire          s_ready_o,
    input  wire [DW-1:0] s_data_i,
    input  wire [FW-1:0] s_fold_i,
    output wire          s_first_o,  // the next beat is a frame's first
    output wire          m_valid_o,
    input  wire          m_ready_i,
    output wire [DW-1:0] m_data_o,
    output wire [FW-1:0] m_fold_o
);

  localparam integer DEPTH = 2 * N + 4;  // 4: written before the first place of the frame before last is free
  localparam integer AW = $clog2(DEPTH);
  localparam integer NW = (N > 1) ? $clog2(N) : 1;

  generate
    if (DW < 1 || FW < 1 || N < 1) begin : g_check
      hwc_error_hold_sizes_must_be_ge_1 u_error ();
    end
  endgenerate

  wire          ok, room, fold_valid, fold_room, wlast, rlast, unused_waddr, unused_raddr;
  wire [NW-1:0] wbeat, unused_rbeat;
  wire [AW-1:0] waddr, raddr;
  wire [FW-1:0] fold;
  reg           valid_q;
  reg  [FW-1:0] fold_q;
  wire          write = s_valid_i && s_ready_o;
  wire          issue = ok && fold_valid && (!valid_q || m_ready_i);

  hwc_credit #(.DEPTH(DEPTH), .SPAN(N), .D0(N), .D1(N), .D2(N)) u_credit (
      .clk_i(clk_i), .rst_ni(rst_ni), .write_i(write), .take_i(issue && rlast), .kind_i(2'b00),
      .drop_i(issue && rlast), .drop_kind_i(2'b00), .ok_o(ok), .room_o(room)
  );
  hwc_fifo #(.W(FW), .DEPTH(2)) u_fold (
      .clk_i(clk_i), .rst_ni(rst_ni), .s_valid_i(write && wlast), .s_ready_o(fold_room), .s_data_i(s_fold_i),
      .m_valid_o(fold_valid), .m_ready_i(issue && rlast), .m_data_o(fold)
  );
  hwc_count #(.N(N), .W(NW)) u_wbeat (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(write), .count_o(wbeat), .last_o(wlast)
  );
  hwc_count #(.N(N), .W(NW)) u_rbeat (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(issue), .count_o(unused_rbeat), .last_o(rlast)
  );
  hwc_count #(.N(DEPTH), .W(AW)) u_waddr (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(write), .count_o(waddr), .last_o(unused_waddr)
  );
  hwc_count #(.N(DEPTH), .W(AW)) u_raddr (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(issue), .count_o(raddr), .last_o(unused_raddr)
  );
  hwc_ram #(.W(DW), .DEPTH(DEPTH), .AW(AW)) u_ram (
      .clk_i(clk_i), .we_i(write), .waddr_i(waddr), .wdata_i(s_data_i),
      .re_i(issue), .raddr_i(raddr), .rdata_o(m_data_o)
  );

  always @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else valid_q <= issue || (valid_q && !m_ready_i);
  end
  always @(posedge clk_i) if (issue) fold_q <= fold;

  assign s_ready_o = room && fold_room;
  assign s_first_o = wbeat == {NW{1'b0}};
  assign m_valid_o = valid_q;
  assign m_fold_o  = fold_q;

endmodule

`default_nettype wire
