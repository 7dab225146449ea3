// hwc_maxpool: streaming max-pool over padded frames of HP x WP pixels of G beats.
//
// Horizontal maxima, then vertical ones; overlapping windows and strides beyond the kernel are fine. Rows and columns
// that no window covers are taken and dropped. Takes one beat per cycle, frames back to back, latency 2 cycles.
// Memory: ceil(KW/SW) * G + ceil(KH/SH) * WO * G beats. Does not insert padding.
`default_nettype none

module hwc_maxpool #(
    parameter LANES     = 1,  // lanes per beat
    parameter EW        = 8,  // bits per lane
    parameter IS_SIGNED = 1,  // 1: lanes are two's complement, 0: unsigned
    parameter HP        = 1,  // rows of the padded frame
    parameter WP        = 1,  // columns of the padded frame
    parameter G         = 1,  // beats per pixel
    parameter KH        = 1,  // kernel rows
    parameter KW        = 1,  // kernel columns
    parameter SH        = 1,  // row stride
    parameter SW        = 1   // column stride
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

  localparam integer WO = (WP - KW) / SW + 1;

  wire                row_valid;
  wire                row_ready;
  wire [LANES*EW-1:0] row_data;

  hwc_maxfold #(.LANES(LANES), .EW(EW), .IS_SIGNED(IS_SIGNED), .V(G), .N(WP), .K(KW), .S(SW)) u_row (
      .clk_i(clk_i), .rst_ni(rst_ni), .s_valid_i(s_valid_i), .s_ready_o(s_ready_o), .s_data_i(s_data_i),
      .m_valid_o(row_valid), .m_ready_i(row_ready), .m_data_o(row_data)
  );
  hwc_maxfold #(.LANES(LANES), .EW(EW), .IS_SIGNED(IS_SIGNED), .V(WO * G), .N(HP), .K(KH), .S(SH)) u_column (
      .clk_i(clk_i), .rst_ni(rst_ni), .s_valid_i(row_valid), .s_ready_o(row_ready), .s_data_i(row_data),
      .m_valid_o(m_valid_o), .m_ready_i(m_ready_i), .m_data_o(m_data_o)
  );

endmodule

`default_nettype wire
