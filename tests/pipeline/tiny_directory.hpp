// The tiny model as a directory, written with the library's own functions.
#pragma once

#include <filesystem>

#include <dalle2/engine/reference.hpp>
#include <dalle2/pipeline/load.hpp>

#include "tiny_model.hpp"

namespace tiny_model {

inline void write(const std::filesystem::path& directory, DType dtype = DType::f32) {
    tokenizer().save(make_component_folder(directory, "tokenizer"));
    save_component(directory, "text_encoder", text_encoder<Reference>(), dtype);
    save_component(directory, "image_encoder", image_encoder<Reference>(), dtype);
    save_component(directory, "prior", prior<Reference>(), dtype);
    save_component(directory, "text_proj", text_projection<Reference>(), dtype);
    save_component(directory, "decoder", decoder<Reference>(), dtype);
    save_component(directory, "super_res_first", upsampler_first<Reference>(), dtype);
    save_component(directory, "super_res_last", upsampler_last<Reference>(), dtype);
    save_schedule_config(directory, "prior_scheduler", prior_schedule());
    save_schedule_config(directory, "decoder_scheduler", decoder_schedule());
    save_schedule_config(directory, "super_res_scheduler", upsampler_schedule());
    save_generation_defaults(directory,
                             {.prior_steps = 3, .decoder_steps = 4, .super_resolution_steps = 2});
    write_model_index(directory, {"tokenizer", "text_encoder", "prior", "text_proj", "decoder",
                                  "super_res_first", "super_res_last", "prior_scheduler",
                                  "decoder_scheduler", "super_res_scheduler"});
}

}  // namespace tiny_model
