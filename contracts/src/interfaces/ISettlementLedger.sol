// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.30;

/// @title The payment state machine on salted commitments
/// @notice Parties are one-time addresses; amounts and names are never here. No function reverts on what it
/// refuses: the outcome is `PaymentRefused`. Who owns a one-time address is a signed statement that only the
/// parties and auditors hold. Nothing counts before the creditor's side accepted; what nobody accepts expires.
/// SETTLED means: both sides recorded the same commitment to the settlement institution's own message. The
/// contract does not know the institution; its message is in the parties' and the auditors' hands.
interface ISettlementLedger {
    /// @notice One payment.
    /// @param state 0 none, 1 open, 2 accepted, 3 settlement reported, 4 settled, 5 credited, 6 rejected,
    /// 7 cancelled, 8 expired, 9 returned.
    /// @param expiryBlock Last block in which the creditor can accept.
    /// @param reportedBy Bits: 1 debtor, 2 creditor reported settlement.
    /// @param cancelRequested The debtor asked to cancel after acceptance and the creditor has not answered.
    /// @param linkedTo Payment that must settle in the same transaction; zero: none.
    /// @param returns_ Payment that this one gives back; zero: none.
    /// @param returnedBy Payment that gives, or tries to give, this one back; zero: none.
    struct Payment {
        address debtor;
        uint8 state;
        uint64 expiryBlock;
        uint8 reportedBy;
        bool cancelRequested;
        address creditor;
        bytes32 commitment;
        bytes32 debtorConfirmation;
        bytes32 creditorConfirmation;
        bytes32 linkedTo;
        bytes32 returns_;
        bytes32 returnedBy;
    }

    /// @notice Something was recorded about a payment.
    /// @param state One of the states of `Payment` (3 also for the other side's report), or an entry that leaves
    /// the state as it is: 10 cancellation requested, 11 cancellation refused, 12 link declared, 13 settlement
    /// confirmed by one side.
    /// @param by The party that acted.
    /// @param data 1, 2, 5: commitment; 3: evidence; 4, 13: confirmation; 6: reason commitment; 7, 8, 10, 11: zero;
    /// 9: the returning payment; 12: the other leg.
    event PaymentStateChanged(bytes32 indexed paymentId, uint8 state, address by, bytes32 data);
    /// @notice Nothing happened.
    /// @param reason 1 unknown payment, 2 the id is taken, 3 not this party's act, 4 not in this state, 5 other
    /// commitment, 6 expired, 7 not expired yet, 8 bad argument, 9 recorded before, 10 legs do not match.
    event PaymentRefused(bytes32 indexed paymentId, uint8 reason, address by);

    /// @notice By the debtor's one-time address.
    function open(bytes32 paymentId, bytes32 commitment, address creditor, uint64 expiryBlock) external;

    /// @notice By the creditor, naming the same commitment, up to and in the expiry block.
    function accept(bytes32 paymentId, bytes32 commitment) external;

    /// @notice By the creditor, before accepting.
    function reject(bytes32 paymentId, bytes32 reasonCommitment) external;

    /// @notice By the debtor: cancels what is open; requests it of what is accepted. By the creditor: grants it.
    function cancel(bytes32 paymentId) external;

    /// @notice By the creditor: refuses a requested cancellation.
    function refuseCancel(bytes32 paymentId) external;

    /// @notice By anybody after the expiry block, if nobody accepted.
    function expire(bytes32 paymentId) external;

    /// @notice By either party: settlement is said to have happened. Not final.
    function reportSettled(bytes32 paymentId, bytes32 evidence) external;

    /// @notice By either party: commitment to the settlement institution's message. When both sides' are equal,
    /// and those of the linked leg too, the payment (and its leg) is SETTLED. A side may correct its own until then.
    function confirmSettled(bytes32 paymentId, bytes32 confirmation) external;

    /// @notice By the creditor after SETTLED: the beneficiary's account is credited.
    function credited(bytes32 paymentId) external;

    /// @notice By the creditor after SETTLED: opens `newPaymentId` back to the debtor. When it is settled, the
    /// first payment is RETURNED.
    function returnOf(bytes32 paymentId, bytes32 newPaymentId, bytes32 commitment, uint64 expiryBlock)
        external;

    /// @notice By the debtor, while open: this payment settles only together with `otherId`, once that one is
    /// linked to this by its own debtor.
    function link(bytes32 paymentId, bytes32 otherId) external;

    /// @notice The payment; state 0 if unknown.
    function paymentOf(bytes32 paymentId) external view returns (Payment memory);
}
