// The exceptions of this library: one small family, so that an application can
// catch everything with one handler and still tell the causes apart.
#pragma once

#include <stdexcept>
#include <string>

namespace dalle2 {

// Every message says what was found, where (file, tensor, key), and what was expected.
class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// A file cannot be opened, read, written or renamed.
class IoError : public Error {
public:
    using Error::Error;
};

// A file was read, but its bytes are not what its format prescribes.
class FormatError : public Error {
public:
    using Error::Error;
};

// A configuration key, option or argument has a value that is wrong or not supported.
class ConfigError : public Error {
public:
    using Error::Error;
};

// A tensor does not have the shape that the operation or the model needs.
class ShapeError : public Error {
public:
    using Error::Error;
};

// A computation gave what is no number, or is infinite.
class NumericError : public Error {
public:
    using Error::Error;
};

// The caller asked for the work to stop.
class Cancelled : public Error {
public:
    Cancelled() : Error("cancelled") {}
};

}  // namespace dalle2
