// A reader and a writer of bare Fast DDS, for bench/flood. The reader keeps the last message, best
// effort, and takes one each 20 ms, as a detector does.
//
//   flood read TOPIC MAX_SAMPLES            until it is ended; prints how many it took
//   flood write TOPIC BYTES SECONDS RATE    RATE in messages a second, 0 as fast as it can
//
// Profiles are read from FASTRTPS_DEFAULT_PROFILES_FILE, the domain from ROS_DOMAIN_ID.

#include <fastdds/dds/domain/DomainParticipant.hpp>
#include <fastdds/dds/domain/DomainParticipantFactory.hpp>
#include <fastdds/dds/publisher/DataWriter.hpp>
#include <fastdds/dds/publisher/Publisher.hpp>
#include <fastdds/dds/subscriber/DataReader.hpp>
#include <fastdds/dds/subscriber/SampleInfo.hpp>
#include <fastdds/dds/subscriber/Subscriber.hpp>
#include <fastdds/dds/subscriber/qos/DataReaderQos.hpp>
#include <fastdds/dds/topic/TopicDataType.hpp>
#include <fastdds/dds/topic/TypeSupport.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

using namespace eprosima::fastdds::dds;
using eprosima::fastrtps::rtps::InstanceHandle_t;
using eprosima::fastrtps::rtps::SerializedPayload_t;
using Blob = std::vector<unsigned char>;
using Clock = std::chrono::steady_clock;

namespace {

// Fast DDS asks for a bound; a larger message makes it allocate again, as an image of ROS does.
constexpr uint32_t kTypeSize = 1024;

class BlobType : public TopicDataType {
 public:
  BlobType() {
    setName("Blob");
    m_typeSize = kTypeSize;
    m_isGetKeyDefined = false;
  }

  bool serialize(void* data, SerializedPayload_t* payload) override {
    const auto* blob = static_cast<Blob*>(data);
    payload->length = static_cast<uint32_t>(blob->size());
    std::memcpy(payload->data, blob->data(), blob->size());
    return true;
  }

  bool deserialize(SerializedPayload_t* payload, void* data) override {
    static_cast<Blob*>(data)->assign(payload->data, payload->data + payload->length);
    return true;
  }

  std::function<uint32_t()> getSerializedSizeProvider(void* data) override {
    return [data] { return static_cast<uint32_t>(static_cast<Blob*>(data)->size()); };
  }

  void* createData() override { return new Blob; }
  void deleteData(void* data) override { delete static_cast<Blob*>(data); }
  bool getKey(void*, InstanceHandle_t*, bool) override { return false; }
};

template <typename Qos>
Qos newest_only(Qos qos) {
  // As rmw_fastrtps sets them for a subscription that keeps the last image.
  qos.reliability().kind = BEST_EFFORT_RELIABILITY_QOS;
  qos.history().kind = KEEP_LAST_HISTORY_QOS;
  qos.history().depth = 1;
  qos.endpoint().history_memory_policy =
      eprosima::fastrtps::rtps::PREALLOCATED_WITH_REALLOC_MEMORY_MODE;
  qos.data_sharing().off();
  return qos;
}

int read(DomainParticipant& participant, Topic& topic, int max_samples) {
  auto qos = newest_only(DATAREADER_QOS_DEFAULT);
  qos.resource_limits().max_samples = max_samples;
  if (qos.resource_limits().allocated_samples > max_samples)
    qos.resource_limits().allocated_samples = max_samples;
  DataReader* reader =
      participant.create_subscriber(SUBSCRIBER_QOS_DEFAULT)->create_datareader(&topic, qos);
  if (reader == nullptr) return 1;
  long taken = 0;
  auto next = Clock::now();
  while (true) {
    Blob blob;  // A new one each time, as each message of rclpy is.
    SampleInfo info;
    if (reader->take_next_sample(&blob, &info) == ReturnCode_t::RETCODE_OK) ++taken;
    if (Clock::now() >= next) {
      std::printf("%ld\n", taken);
      std::fflush(stdout);
      next += std::chrono::seconds(1);
    }
    // As long as a frame of a detector takes.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

int write(DomainParticipant& participant, Topic& topic, size_t bytes, double seconds,
          double rate) {
  auto qos = newest_only(DATAWRITER_QOS_DEFAULT);
  qos.publish_mode().kind = SYNCHRONOUS_PUBLISH_MODE;
  DataWriter* writer =
      participant.create_publisher(PUBLISHER_QOS_DEFAULT)->create_datawriter(&topic, qos);
  if (writer == nullptr) return 1;
  PublicationMatchedStatus matched;
  while (writer->get_publication_matched_status(matched), matched.current_count == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  Blob blob(bytes, 1);
  long sent = 0;
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    writer->write(&blob);
    ++sent;
    if (rate > 0) std::this_thread::sleep_until(start + std::chrono::duration<double>(sent / rate));
  }
  std::printf("%ld\n", sent);
  return 0;
}

}  // namespace

int main(int count, char** words) {
  if (count < 3) return 2;
  const std::string kind = words[1];
  const char* domain = std::getenv("ROS_DOMAIN_ID");
  auto* participant = DomainParticipantFactory::get_instance()->create_participant(
      domain == nullptr ? 0 : std::strtoul(domain, nullptr, 10), PARTICIPANT_QOS_DEFAULT);
  if (participant == nullptr) return 1;
  TypeSupport type(new BlobType);
  type.register_type(participant);
  Topic* topic = participant->create_topic(words[2], type.get_type_name(), TOPIC_QOS_DEFAULT);
  if (kind == "read" && count == 4) return read(*participant, *topic, std::atoi(words[3]));
  if (kind == "write" && count == 6)
    return write(*participant, *topic, std::strtoul(words[3], nullptr, 10),
                 std::strtod(words[4], nullptr), std::strtod(words[5], nullptr));
  return 2;
}
