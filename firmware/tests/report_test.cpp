#include "report/report.h"

#include <gtest/gtest.h>

#include <string>

#include "fake_platform.h"

namespace enhancer {
namespace {

class ReportTest : public testing::Test {
 protected:
  void SetUp() override { fake::reset(); }
  const std::string& console() { return fake::platform().console; }
};

TEST_F(ReportTest, IsOneJsonLine) {
  Report("hop").add("index", 0).add("ticks", UINT64_MAX).add_text("name", "x").send();
  EXPECT_EQ(console(),
            "{\"v\":3,\"type\":\"hop\",\"index\":0,\"ticks\":18446744073709551615,"
            "\"name\":\"x\"}\r\n");
}

TEST_F(ReportTest, TextCannotBreakTheLine) {
  Report("message").add_text("text", "a\"b\\c\nd\x04").send();
  EXPECT_EQ(console(), "{\"v\":3,\"type\":\"message\",\"text\":\"a b c d \"}\r\n");
}

TEST_F(ReportTest, NeverOverrunsItsLine) {
  Report report("long");
  for (int index = 0; index < 100; ++index) {
    report.add("a_rather_long_key", UINT64_MAX);
  }
  report.send();
  EXPECT_LE(console().size(), 1024U);
  EXPECT_EQ(console().substr(console().size() - 3), "}\r\n");
}

TEST_F(ReportTest, ErrorsCarryCodeAndName) {
  report_error({Error::kNpuTimeout, 1, 2});
  EXPECT_EQ(console(),
            "{\"v\":3,\"type\":\"error\",\"code\":36,\"name\":\"npu_timeout\",\"expected\":1,"
            "\"actual\":2}\r\n");
}

TEST_F(ReportTest, EndClosesTheTransmission) {
  report_end(Error::kNone);
  EXPECT_EQ(console(), "{\"v\":3,\"type\":\"end\",\"exit_code\":0}\r\n\x04");
}

}  // namespace
}  // namespace enhancer
