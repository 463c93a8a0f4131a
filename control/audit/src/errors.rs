//! The faults that CloudTrail answers: AWS's code, HTTP status and message.

use shapes::Fault;

pub(crate) fn attributes(message: impl Into<String>) -> Fault {
    Fault::sender("InvalidLookupAttributesException", message)
}

pub(crate) fn time_range() -> Fault {
    Fault::sender(
        "InvalidTimeRangeException",
        "A valid time range is a start time that is not after the end time.",
    )
}

pub(crate) fn max_results() -> Fault {
    Fault::sender("InvalidMaxResultsException", "A valid number of Max Results is between 1 to 50.")
}

pub(crate) fn token() -> Fault {
    Fault::sender(
        "InvalidNextTokenException",
        "Invalid Next Token. Please use the token of the previous answer with the same parameters.",
    )
}
