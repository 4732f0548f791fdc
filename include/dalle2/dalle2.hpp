// Everything in one include, and a map of the house.
//
// A prompt becomes a picture in this order; each word is a folder:
//
//   text ──▶ clip ──▶ prior ──▶ decoder (a small picture, then upsampled) ──▶ io
//            └──────────── pipeline: the chain as one call ────────────┘
//
// Data flows down this list, and a folder includes only folders above it:
//
//   core/       errors, arrays and shapes, random numbers, progress and cancellation
//   kernels/    matrix products, convolution, attention, norms: pointers and sizes, no model
//   io/         safetensors, PyTorch checkpoints, model directories, picture files
//   engine/     what a tensor and an operation are: reference, cpu, autodiff, trace
//   nn/         layers written once over an engine
//   text/       byte-pair encoding, the CLIP tokenizer
//   clip/       text encoder, image encoder, preprocessing, zero-shot classification
//   diffusion/  noise schedules, samplers, guidance
//   prior/      text embedding to image embedding (section 2.2 of the paper)
//   decoder/    image embedding to picture (section 2.1), and the upsampler
//   pipeline/   the whole chain: text to image, variations of a picture
//   data/       folders of pictures; the emoji scenes
//   train/      losses, optimizer, checkpoints, one trainer per model
//
// Read it from the middle: nn/ and clip/ look like the papers' figures, diffusion/ like their
// equations, and engine/reference.hpp says in a few lines each what an operation means.
//
// The headers that draw emoji need FreeType, so they are included by name and linked as
// dalle2::data: <dalle2/data/emoji_font.hpp>.
#pragma once

#include <dalle2/core/activation.hpp>
#include <dalle2/core/arena.hpp>
#include <dalle2/core/array.hpp>
#include <dalle2/core/bfloat16.hpp>
#include <dalle2/core/buffer_pool.hpp>
#include <dalle2/core/error.hpp>
#include <dalle2/core/finite.hpp>
#include <dalle2/core/float16.hpp>
#include <dalle2/core/float8.hpp>
#include <dalle2/core/random.hpp>
#include <dalle2/core/stop_scope.hpp>
#include <dalle2/core/thread_scope.hpp>
#include <dalle2/core/xtensor.hpp>

#include <dalle2/io/atomic_file.hpp>
#include <dalle2/io/base64.hpp>
#include <dalle2/io/check_sum.hpp>
#include <dalle2/io/config.hpp>
#include <dalle2/io/contact_sheet.hpp>
#include <dalle2/io/convert_weights.hpp>
#include <dalle2/io/crc32.hpp>
#include <dalle2/io/exif.hpp>
#include <dalle2/io/file.hpp>
#include <dalle2/io/gzip.hpp>
#include <dalle2/io/hub_cache.hpp>
#include <dalle2/io/int8_tensor.hpp>
#include <dalle2/io/jpeg_check.hpp>
#include <dalle2/io/json.hpp>
#include <dalle2/io/json_builder.hpp>
#include <dalle2/io/mapped_file.hpp>
#include <dalle2/io/model_directory.hpp>
#include <dalle2/io/npy.hpp>
#include <dalle2/io/packed_file.hpp>
#include <dalle2/io/pickle.hpp>
#include <dalle2/io/pickle_value.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/io/picture_files.hpp>
#include <dalle2/io/picture_length.hpp>
#include <dalle2/io/resampling.hpp>
#include <dalle2/io/resize_picture.hpp>
#include <dalle2/io/safetensors.hpp>
#include <dalle2/io/safetensors_header.hpp>
#include <dalle2/io/stb.hpp>
#include <dalle2/io/tensor_view.hpp>
#include <dalle2/io/torch_checkpoint.hpp>
#include <dalle2/io/torch_tensor.hpp>
#include <dalle2/io/utf8.hpp>
#include <dalle2/io/weight_files.hpp>
#include <dalle2/io/weights.hpp>
#include <dalle2/io/write_packed.hpp>
#include <dalle2/io/zip_archive.hpp>

#include <dalle2/kernels/adamw.hpp>
#include <dalle2/kernels/adamw_step.hpp>
#include <dalle2/kernels/any_packed_weights.hpp>
#include <dalle2/kernels/attention.hpp>
#include <dalle2/kernels/attention_plan.hpp>
#include <dalle2/kernels/bandwidth.hpp>
#include <dalle2/kernels/byte_range.hpp>
#include <dalle2/kernels/conv_plan.hpp>
#include <dalle2/kernels/copy.hpp>
#include <dalle2/kernels/denormals.hpp>
#include <dalle2/kernels/elementwise.hpp>
#include <dalle2/kernels/gemm.hpp>
#include <dalle2/kernels/int8.hpp>
#include <dalle2/kernels/int8_weights.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/kernels.hpp>
#include <dalle2/kernels/moments.hpp>
#include <dalle2/kernels/norm.hpp>
#include <dalle2/kernels/norm_piece.hpp>
#include <dalle2/kernels/pack.hpp>
#include <dalle2/kernels/pack_rows.hpp>
#include <dalle2/kernels/packed_weights.hpp>
#include <dalle2/kernels/parallel.hpp>
#include <dalle2/kernels/peak.hpp>
#include <dalle2/kernels/plain_attention.hpp>
#include <dalle2/kernels/plain_elementwise.hpp>
#include <dalle2/kernels/plain_gemm.hpp>
#include <dalle2/kernels/plain_norm.hpp>
#include <dalle2/kernels/plain_pack.hpp>
#include <dalle2/kernels/shapes.hpp>
#include <dalle2/kernels/simd.hpp>
#include <dalle2/kernels/vector_kernels.hpp>
#include <dalle2/kernels/weight_plan.hpp>
#include <dalle2/kernels/winograd_plan.hpp>

#include <dalle2/engine/autodiff.hpp>
#include <dalle2/engine/autodiff_tape.hpp>
#include <dalle2/engine/concept.hpp>
#include <dalle2/engine/cpu.hpp>
#include <dalle2/engine/cpu_int8.hpp>
#include <dalle2/engine/cpu_tensor.hpp>
#include <dalle2/engine/engine_kind.hpp>
#include <dalle2/engine/engine_peak.hpp>
#include <dalle2/engine/int8_calibration.hpp>
#include <dalle2/engine/int8_choice.hpp>
#include <dalle2/engine/int8_rule.hpp>
#include <dalle2/engine/on_engine.hpp>
#include <dalle2/engine/operation_cost.hpp>
#include <dalle2/engine/plus.hpp>
#include <dalle2/engine/profile.hpp>
#include <dalle2/engine/profile_report.hpp>
#include <dalle2/engine/reference.hpp>
#include <dalle2/engine/shape_checks.hpp>
#include <dalle2/engine/trace.hpp>
#include <dalle2/engine/weight_origin.hpp>

#include <dalle2/nn/added_kv_attention.hpp>
#include <dalle2/nn/attention_mask.hpp>
#include <dalle2/nn/copy_weights.hpp>
#include <dalle2/nn/keys_and_values.hpp>
#include <dalle2/nn/layers.hpp>
#include <dalle2/nn/resnet_block.hpp>
#include <dalle2/nn/timestep_embedding.hpp>
#include <dalle2/nn/visit.hpp>

#include <dalle2/text/basic_tokenizer.hpp>
#include <dalle2/text/bpe_trainer.hpp>
#include <dalle2/text/byte_pair_encoding.hpp>
#include <dalle2/text/clip_tokenizer.hpp>
#include <dalle2/text/special_tokens.hpp>
#include <dalle2/text/tokenizer_files.hpp>
#include <dalle2/text/tokenizer_json.hpp>
#include <dalle2/text/tokenizer_options.hpp>
#include <dalle2/text/tokenizer_settings.hpp>
#include <dalle2/text/unicode.hpp>
#include <dalle2/text/unicode_tables.hpp>
#include <dalle2/text/word_check.hpp>
#include <dalle2/text/word_splitter.hpp>

#include <dalle2/clip/config.hpp>
#include <dalle2/clip/encoder.hpp>
#include <dalle2/clip/image_encoder.hpp>
#include <dalle2/clip/model.hpp>
#include <dalle2/clip/picture_file.hpp>
#include <dalle2/clip/preprocess.hpp>
#include <dalle2/clip/text_encoder.hpp>
#include <dalle2/clip/token_batch.hpp>
#include <dalle2/clip/unit_rows.hpp>
#include <dalle2/clip/zero_shot.hpp>
#include <dalle2/clip/zero_shot_config.hpp>
#include <dalle2/clip/zero_shot_templates.hpp>

#include <dalle2/diffusion/ddim_sampler.hpp>
#include <dalle2/diffusion/denoise.hpp>
#include <dalle2/diffusion/dpm_solver_sampler.hpp>
#include <dalle2/diffusion/euler_sampler.hpp>
#include <dalle2/diffusion/guidance.hpp>
#include <dalle2/diffusion/heun_sampler.hpp>
#include <dalle2/diffusion/noise_schedule.hpp>
#include <dalle2/diffusion/prediction.hpp>
#include <dalle2/diffusion/sampler.hpp>
#include <dalle2/diffusion/schedule_config.hpp>
#include <dalle2/diffusion/unclip_sampler.hpp>
#include <dalle2/diffusion/variational_bound.hpp>

#include <dalle2/prior/config.hpp>
#include <dalle2/prior/prior_transformer.hpp>

#include <dalle2/decoder/config.hpp>
#include <dalle2/decoder/text_projection.hpp>
#include <dalle2/decoder/unet.hpp>
#include <dalle2/decoder/unet_times.hpp>

#include <dalle2/pipeline/any_pipeline.hpp>
#include <dalle2/pipeline/any_sampler.hpp>
#include <dalle2/pipeline/calibrate_int8.hpp>
#include <dalle2/pipeline/clip_towers.hpp>
#include <dalle2/pipeline/component.hpp>
#include <dalle2/pipeline/decoder.hpp>
#include <dalle2/pipeline/diffusion_prior.hpp>
#include <dalle2/pipeline/encoded_text.hpp>
#include <dalle2/pipeline/generate_options.hpp>
#include <dalle2/pipeline/image_variations.hpp>
#include <dalle2/pipeline/load.hpp>
#include <dalle2/pipeline/load_clip.hpp>
#include <dalle2/pipeline/load_variations.hpp>
#include <dalle2/pipeline/memory_plan.hpp>
#include <dalle2/pipeline/model_configs.hpp>
#include <dalle2/pipeline/model_cost.hpp>
#include <dalle2/pipeline/on_demand.hpp>
#include <dalle2/pipeline/part_loader.hpp>
#include <dalle2/pipeline/picture_encoder.hpp>
#include <dalle2/pipeline/picture_index.hpp>
#include <dalle2/pipeline/resize.hpp>
#include <dalle2/pipeline/sampling.hpp>
#include <dalle2/pipeline/stages.hpp>
#include <dalle2/pipeline/text_to_image.hpp>
#include <dalle2/pipeline/upsampler.hpp>

#include <dalle2/data/emoji_nouns.hpp>
#include <dalle2/data/emoji_scenes.hpp>
#include <dalle2/data/oracle.hpp>
#include <dalle2/data/picture_folder.hpp>
#include <dalle2/data/scene.hpp>
#include <dalle2/data/scene_dataset.hpp>
#include <dalle2/data/scene_renderer.hpp>
#include <dalle2/data/scene_stream.hpp>
#include <dalle2/data/sprite.hpp>
#include <dalle2/data/square_picture.hpp>

#include <dalle2/train/checkpoint.hpp>
#include <dalle2/train/clip_task.hpp>
#include <dalle2/train/condition_statistics.hpp>
#include <dalle2/train/decoder_task.hpp>
#include <dalle2/train/emoji_model.hpp>
#include <dalle2/train/export.hpp>
#include <dalle2/train/initialize.hpp>
#include <dalle2/train/learning_rate.hpp>
#include <dalle2/train/losses.hpp>
#include <dalle2/train/parameter_set.hpp>
#include <dalle2/train/preview.hpp>
#include <dalle2/train/principal_axes.hpp>
#include <dalle2/train/prior_task.hpp>
#include <dalle2/train/samples.hpp>
#include <dalle2/train/task.hpp>
#include <dalle2/train/text_groups.hpp>
#include <dalle2/train/text_tokens.hpp>
#include <dalle2/train/trainer.hpp>
#include <dalle2/train/upsampler_task.hpp>