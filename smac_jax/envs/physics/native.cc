// One environment step of a batch of robots, which the compiled program calls without Python.
//
// The code computes the same steps in the same order as MujocoEngine._advance in mujoco.py and threaded_step.py, bit
// for bit (tests/envs/test_native.py). The comments there explain each part.

#include <setjmp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <mujoco/mujoco.h>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

// Sets a message handler for this thread. MuJoCo's Python package turns errors into exceptions in the same way.
extern "C" mjfLogHandler _mjPRIVATE_setTlsLogHandler(mjfLogHandler handler) __attribute__((weak));

namespace {

constexpr double kDiverged = 1e10;  // MuJoCo's own limit (mjMAXVAL)
constexpr int kState = mjSTATE_QPOS | mjSTATE_QVEL | mjSTATE_WARMSTART;

thread_local jmp_buf fatal;

void OnMessage(const mjLogMessage* message) {
  if (message->level == mjLOG_ERROR) longjmp(fatal, 1);
}

enum Control { kDirect, kCentered, kVelocities };

// What a thread needs to step a robot. It has a model of its own if the scene differs between robots.
struct Scratch {
  mjModel* model;
  mjData* data;
};

// One model with the scratch memory of the threads that step it.
struct Engine {
  mjModel* model;
  int frame_skip, body, threads;
  bool forces;
  std::vector<int> scene, reads;  // scene holds pairs of a field and a place in it
  int control;
  double gain;
  std::vector<double> numbers;  // four for each motor
  std::mutex mutex;
  std::vector<Scratch> idle;

  int scene_size() const { return scene.size() / 2; }
  int state_size() const { return model->nq + 2 * model->nv; }
  int row_size() const { return state_size() + (body >= 0 ? 3 : 0) + scene_size(); }
  int command_size() const { return control == kVelocities ? 2 * model->nu : model->nu; }
  int values_size() const {
    return 2 * model->nq + model->nv + 1 + (body >= 0 ? 3 : 0) + (forces ? 6 * model->nbody : 0) + reads.size();
  }

  Scratch Take() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      if (!idle.empty()) {
        Scratch scratch = idle.back();
        idle.pop_back();
        return scratch;
      }
    }
    mjModel* own = scene.empty() ? model : mj_copyModel(nullptr, model);
    return {own, mj_makeData(own)};
  }

  void Give(Scratch scratch) {
    std::lock_guard<std::mutex> lock(mutex);
    idle.push_back(scratch);
  }

  // Computes _control in mujoco.py.
  void Command(const float* command, const double* qpos, double* ctrl) const {
    const int nu = model->nu;
    for (int i = 0; i < nu; ++i) {
      double action = command[i];
      const double* n = control == kDirect ? nullptr : numbers.data() + 4 * i;
      if (control == kDirect) {
        ctrl[i] = action;
        continue;
      }
      action = std::clamp(action, -1.0, 1.0);
      if (control == kCentered) {
        ctrl[i] = n[0] + action * n[1];
      } else {
        const double dt = model->opt.timestep * frame_skip;
        const double noise = command[nu + i];
        ctrl[i] = std::clamp(qpos[i] + noise + std::clamp(action * gain, n[0], n[1]) * dt, n[2], n[3]);
      }
    }
  }

  void SetScene(mjModel* own, const double* values) const {
    for (size_t i = 0; i < scene.size(); i += 2) {
      mjtNum* fields[] = {own->body_pos, own->body_quat, own->site_pos};
      fields[scene[i]][scene[i + 1]] = values[i / 2];
    }
  }
};

std::mutex engines_mutex;
std::unordered_map<int64_t, std::unique_ptr<Engine>>& Engines() {
  static auto* engines = new std::unordered_map<int64_t, std::unique_ptr<Engine>>();
  return *engines;
}

Engine* Find(int64_t key) {
  std::lock_guard<std::mutex> lock(engines_mutex);
  auto found = Engines().find(key);
  return found == Engines().end() ? nullptr : found->second.get();
}

// Calls mj_step and returns whether it succeeded. No C++ object exists across the jump.
bool Step(const Engine& engine, const mjModel* model, mjData* data, const double* given) {
  if (setjmp(fatal)) return false;
  mj_setState(model, data, given, kState | mjSTATE_CTRL);
  for (int i = 0; i < engine.frame_skip; ++i) mj_step(model, data);
  if (engine.frame_skip == 0) mj_forward(model, data);
  if (engine.forces) mj_rnePostConstraint(model, data);
  return true;
}

void Row(Engine& engine, mjModel* model, mjData*& data, const uint32_t* message, uint32_t* raw, float* values,
         std::vector<double>& scratch) {
  const int nq = model->nq, nv = model->nv, nu = model->nu, size = engine.state_size(), row = engine.row_size();
  const int moving = row - engine.scene_size(), commands = engine.command_size();
  std::vector<float> command(commands);
  scratch.resize(size + nu + 2 * row);
  double *given = scratch.data(), *before = given + size + nu, *after = before + row;
  std::memcpy(before, message, row * sizeof(double));
  std::memcpy(given, before, size * sizeof(double));
  std::memcpy(command.data(), message + 2 * row, commands * sizeof(float));
  engine.Command(command.data(), before, given + size);
  engine.SetScene(model, before + moving);
  bool bad = !Step(engine, model, data, given);
  if (bad) {  // e.g. no memory for contacts: only this robot is lost
    mj_deleteData(data);
    data = mj_makeData(model);
  } else {
    mj_getState(model, data, after, kState);
    if (engine.body >= 0) std::memcpy(after + size, data->xpos + 3 * engine.body, 3 * sizeof(double));
    std::memcpy(after + moving, before + moving, engine.scene_size() * sizeof(double));
    for (int i = 0; i < row; ++i) bad |= !(std::abs(after[i]) < kDiverged);  // true for NaN too
  }
  if (bad) std::memcpy(after, before, row * sizeof(double));
  std::memcpy(raw, after, row * sizeof(double));
  for (int i = 0; i < nq + nv; ++i) *values++ = static_cast<float>(after[i]);
  for (int i = 0; i < nq; ++i) *values++ = static_cast<float>(after[i] - before[i]);
  *values++ = bad;
  if (engine.body >= 0)
    for (int i = size; i < moving; ++i) *values++ = static_cast<float>(after[i] - before[i]);
  if (engine.forces)
    for (int i = 0; i < 6 * model->nbody; ++i) *values++ = bad ? 0.0f : static_cast<float>(data->cfrc_ext[i]);
  for (int place : engine.reads) *values++ = bad ? 0.0f : static_cast<float>(data->sensordata[place]);
}

// The rows to be stepped. Threads take them one by one, because contacts make some several times slower than others.
struct Job {
  Engine* engine;
  const uint32_t* message;
  uint32_t* raw;
  float* values;
  int64_t rows, message_size;
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::condition_variable finished;
  int64_t done = 0;

  void Work() {
    int64_t i = next.fetch_add(1);
    if (i >= rows) return;  // this thread started too late, and the buffers may not exist any more
    mjfLogHandler earlier = _mjPRIVATE_setTlsLogHandler ? _mjPRIVATE_setTlsLogHandler(OnMessage) : nullptr;
    Scratch own = engine->Take();
    std::vector<double> scratch;
    int64_t count = 0;
    for (; i < rows; i = next.fetch_add(1), ++count)
      Row(*engine, own.model, own.data, message + i * message_size, raw + i * 2 * engine->row_size(),
          values + i * engine->values_size(), scratch);
    engine->Give(own);
    if (_mjPRIVATE_setTlsLogHandler) _mjPRIVATE_setTlsLogHandler(earlier);
    std::lock_guard<std::mutex> lock(mutex);
    done += count;
    if (done == rows) finished.notify_all();
  }
};

ffi::Error StepBatch(ffi::ThreadPool pool, ffi::Buffer<ffi::U32> message, ffi::ResultBuffer<ffi::U32> raw,
                     ffi::ResultBuffer<ffi::F32> values, int64_t key) {
  Engine* engine = Find(key);
  if (engine == nullptr) return ffi::Error::Internal("smac_jax: this process has not registered the MuJoCo model");
  const int64_t message_size = 2 * engine->row_size() + engine->command_size();
  const auto dimensions = message.dimensions();
  if (dimensions.size() == 0 || dimensions.back() != message_size)
    return ffi::Error::InvalidArgument("smac_jax: the size of the message does not match the model");
  auto job = std::make_shared<Job>();
  job->engine = engine;
  job->message = message.typed_data();
  job->raw = raw->typed_data();
  job->values = values->typed_data();
  job->message_size = message_size;
  job->rows = message.element_count() / message_size;
  // The calling thread works, too, and waits only for rows that other threads have taken. So a busy pool cannot block
  // it.
  const int64_t helpers = std::min<int64_t>({engine->threads, job->rows, pool.num_threads()}) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule([job] { job->Work(); });
  job->Work();
  std::unique_lock<std::mutex> lock(job->mutex);
  job->finished.wait(lock, [&] { return job->done == job->rows; });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(smac_jax_mujoco_step, StepBatch,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<ffi::Buffer<ffi::U32>>()
                                  .Ret<ffi::Buffer<ffi::U32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<int64_t>("key"));

// Registers a copy of a model and what to report, under a key that is the same in every process.
extern "C" void smac_jax_register(int64_t key, const void* model, int frame_skip, int body, int forces, int threads,
                                  int scene_size, const int* scene, int reads_size, const int* reads, int control,
                                  double gain, const double* numbers) {
  std::lock_guard<std::mutex> lock(engines_mutex);
  auto& engine = Engines()[key];
  if (engine) return;
  engine = std::make_unique<Engine>();
  engine->model = mj_copyModel(nullptr, static_cast<const mjModel*>(model));
  engine->frame_skip = frame_skip;
  engine->body = body;
  engine->forces = forces != 0;
  engine->threads = threads;
  engine->scene.assign(scene, scene + 2 * scene_size);
  engine->reads.assign(reads, reads + reads_size);
  engine->control = control;
  engine->gain = gain;
  if (control != kDirect) engine->numbers.assign(numbers, numbers + 4 * engine->model->nu);
}
