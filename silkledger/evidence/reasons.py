"""The stable reason codes of evidence and verdicts. docs/formats/verdict.md lists them in this order."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a check did not pass. The text of a member is the code; it never changes its meaning."""

    # Encodings
    RLP_NOT_CANONICAL = "RLP_NOT_CANONICAL"
    """RLP that another encoding of the same items would be shorter than, or with bytes left over."""
    RLP_SHAPE = "RLP_SHAPE"
    """RLP that decodes, but to other items than the structure has."""
    RPC_FIELD = "RPC_FIELD"
    """A field of a node's answer is missing or malformed."""

    # Headers
    HEADER_FIELDS = "HEADER_FIELDS"
    """A header with the wrong number of fields, or a field of the wrong length."""
    HEADER_HASH = "HEADER_HASH"
    """The header's bytes do not have the block hash they were reported or pinned with."""

    # Tries
    PROOF_EMPTY_ROOT = "PROOF_EMPTY_ROOT"
    """A proof of something under the root of an empty trie."""
    PROOF_NODE_HASH = "PROOF_NODE_HASH"
    """A trie node that its parent (or the root) does not name."""
    PROOF_NODE_SHAPE = "PROOF_NODE_SHAPE"
    """Bytes that are no trie node."""
    PROOF_LENGTH = "PROOF_LENGTH"
    """A trie proof with nodes missing or left over."""
    PROOF_ABSENT = "PROOF_ABSENT"
    """The trie proves that there is nothing at the key."""

    # Receipts
    RECEIPT_SHAPE = "RECEIPT_SHAPE"
    """The proven value is no transaction receipt."""
    RECEIPT_BLOOM = "RECEIPT_BLOOM"
    """A receipt whose bloom filter is not that of its logs."""
    RECEIPTS_ROOT = "RECEIPTS_ROOT"
    """The receipts do not rebuild the header's receipts root."""

    # State
    ACCOUNT_SHAPE = "ACCOUNT_SHAPE"
    """The proven value is no account."""
    SLOT_SHAPE = "SLOT_SHAPE"
    """The proven value is no storage word."""

    # QBFT headers
    QBFT_EXTRA_ITEMS = "QBFT_EXTRA_ITEMS"
    """extraData does not have exactly five items."""
    QBFT_EXTRA_SHAPE = "QBFT_EXTRA_SHAPE"
    """An item of extraData has the wrong form."""
    QBFT_VANITY = "QBFT_VANITY"
    """The vanity item is not exactly 32 bytes."""
    QBFT_VALIDATORS_ORDER = "QBFT_VALIDATORS_ORDER"
    """The validators are not sorted and unique."""
    QBFT_VOTE = "QBFT_VOTE"
    """The vote item is neither empty nor an address with 0xff or the empty string."""
    QBFT_FIXED_FIELD = "QBFT_FIXED_FIELD"
    """A header field that QBFT fixes has another value."""
    QBFT_VALIDATORS = "QBFT_VALIDATORS"
    """The header names other validators than the lineage gives for its height."""
    QBFT_PROPOSER = "QBFT_PROPOSER"
    """The block's proposer (coinbase) is no validator."""
    SEAL_MALFORMED = "SEAL_MALFORMED"
    """A commit seal is no recoverable signature."""
    SEAL_OTHER_ROUND = "SEAL_OTHER_ROUND"
    """A validator's seal, but over another round of this block."""
    SEAL_NOT_VALIDATOR = "SEAL_NOT_VALIDATOR"
    """A seal by an account that is no validator."""
    SEAL_DUPLICATE = "SEAL_DUPLICATE"
    """Two seals by one validator."""
    SEAL_QUORUM = "SEAL_QUORUM"
    """Fewer seals than ceil(2N/3) of the validators."""

    # Lineage and trust in headers
    LINEAGE_START = "LINEAGE_START"
    """Replaying validators must start at genesis or at another epoch block."""
    LINEAGE_SKIP = "LINEAGE_SKIP"
    """Not more than a third of the trusted validators sealed the block that was jumped to."""
    HEADER_PARENT = "HEADER_PARENT"
    """A header does not follow the one before it."""
    HEADER_ORDER = "HEADER_ORDER"
    """The headers do not ascend, or one that is needed is missing."""
    BLOCK_PIN_MISMATCH = "BLOCK_PIN_MISMATCH"
    """A header has another hash than the trust roots pin for its number."""
    BLOCK_NOT_PINNED = "BLOCK_NOT_PINNED"
    """No pinned block vouches for a header, and the engine has no seals."""
    LINEAGE_NO_START = "LINEAGE_NO_START"
    """No header of the bundle is pinned, so the validators' lineage starts nowhere."""
