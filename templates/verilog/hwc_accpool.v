// hwc_accpool: sums over all pixels of a frame, channel by channel.
//
// From PIXELS pixels of G beats it gives G beats of LANES sums, each of ACC_W bits (two's complement): START + sum over
// pixels. ACC_W must hold the final sum. They leave with the beats of the last pixel: takes one beat per cycle, frames
// back to back, latency 1 cycle. Memory: G words of LANES*ACC_W bits. Does not divide.
`default_nettype none

module hwc_accpool #(
    parameter             LANES     = 1,             // lanes per beat
    parameter             EW        = 8,             // bits per input lane
    parameter             IS_SIGNED = 1,             // 1: inputs are two's complement, 0: unsigned
    parameter             ACC_W     = 32,            // bits per sum; at least EW
    parameter             PIXELS    = 1,             // pixels per frame
    parameter             G         = 1,             // beats per pixel
    parameter [ACC_W-1:0] START     = {ACC_W{1'b0}}  // added to every sum
) (
    input  wire                   clk_i,
    input  wire                   rst_ni,
    input  wire                   s_valid_i,
    output wire                   s_ready_o,
    input  wire [   LANES*EW-1:0] s_data_i,
    output wire                   m_valid_o,
    input  wire                   m_ready_i,
    output wire [LANES*ACC_W-1:0] m_data_o
);

  localparam integer GW = (G > 1) ? $clog2(G) : 1;
  localparam integer PW = (PIXELS > 1) ? $clog2(PIXELS) : 1;

  generate
    if (LANES < 1 || EW < 1 || ACC_W < EW || PIXELS < 1 || G < 1) begin : g_check
      hwc_error_accpool_needs_acc_w_ge_ew_and_sizes_ge_1 u_error ();
    end
  endgenerate

  reg                    valid_q;
  reg  [LANES*ACC_W-1:0] sum_q;
  wire [LANES*ACC_W-1:0] old, sum;  // of this channel group: up to the pixel before, with this pixel
  wire [         GW-1:0] unused_group;
  wire [         PW-1:0] pixel;
  wire                   last_group, last_pixel;
  wire                   first_pixel = pixel == {PW{1'b0}};
  wire                   en = !valid_q || m_ready_i;
  wire                   take = en && s_valid_i;

  hwc_count #(.N(G), .W(GW)) u_group (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take), .count_o(unused_group), .last_o(last_group)
  );
  hwc_count #(.N(PIXELS), .W(PW)) u_pixel (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take && last_group), .count_o(pixel), .last_o(last_pixel)
  );
  hwc_sum #(.LANES(LANES), .XW(EW), .X_SIGNED(IS_SIGNED), .ACC_W(ACC_W)) u_sum (
      .acc_i(first_pixel ? {LANES{START}} : old), .x_i(s_data_i), .sum_o(sum)
  );
  hwc_delay #(.W(LANES * ACC_W), .N(G)) u_old (
      .clk_i(clk_i), .rst_ni(rst_ni), .en_i(take), .d_i(sum), .q_o(old)
  );

  always @(posedge clk_i) begin
    if (!rst_ni) valid_q <= 1'b0;
    else if (en) valid_q <= s_valid_i && last_pixel;
  end
  always @(posedge clk_i) if (take) sum_q <= sum;

  assign s_ready_o = en;
  assign m_valid_o = valid_q;
  assign m_data_o  = sum_q;

endmodule

`default_nettype wire
