"""Refusals are found in their many wordings, and people in videos may say what they like."""

import pytest

from llava_video.annotate.answers.refusals import find_refusal


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, I'm unable to view images or videos.",
        "I’m sorry, but I can’t assist with that request.",
        "I am sorry, but I cannot help with that.",
        "I'm really sorry, but I can't describe this.",
        "Sorry, I can't help with that.",
        "Sorry, but this request cannot be completed.",
        "I apologize, but I cannot process these frames.",
        "I apologise for the confusion, but no video was attached.",
        "My apologies, I can't see the frames.",
        "Unfortunately, I am not able to view the video.",
        "Unfortunately, no frames were provided.",
        "I can't identify the people in these images.",
        "I cannot provide a description of this content.",
        "I'm unable to analyze the video you've provided.",
        "I am unable to directly access video files.",
        "I'm not able to see the images.",
        "I don't have the ability to watch videos.",
        "I do not have access to the video.",
        "I won't be able to describe it.",
        "I must decline to describe this scene.",
        "As an AI language model, I cannot watch videos.",
        "As a text-based AI, I don't see pictures.",
        "As a large language model, I have no eyes.",
        "I'm just a language model, so videos are beyond me.",
        "There are no images attached to your message.",
        "There is no video here. Please upload it.",
        "No images were provided.",
        "It seems that no images were attached.",
        "It looks like you haven't uploaded any frames.",
        "The images you mentioned were not included. Could you please share them?",
        "Please provide the frames of the clip.",
        "Please upload the video so that I can help.",
        "Could you please provide the images?",
        "Your request was flagged and cannot be processed.",
        "This content violates our policy.",
        "I would rather not.",
        "I'd need to see the frames first.",
        "To describe the video, I need the frames.",
        "**I'm sorry**, but I can't help with this.",
        "Unable to process the images.",
        "Cannot comply with this request.",
        "Hmm, I can't see any video.",
        "The video shows a man. However, I cannot identify who he is.",
        "How can I help you today?",
        "Lo siento, no puedo ver el vídeo.",
        "Es tut mir leid, aber ich kann keine Videos ansehen.",
        "Je suis désolé, je ne peux pas voir la vidéo.",
        "抱歉，我无法查看视频。",
        "申し訳ありませんが、動画を見ることができません。",
    ],
)
def test_a_refusal_is_found(text):
    assert find_refusal(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "A dog runs past a red ladder.",
        "A woman turns to the camera and says \"I'm sorry, I can't help you.\" She leaves.",
        "A man mouths “I am unable to see” and points at a sign.",
        "A sign reads 'Sorry, we are closed'. Nobody enters.",
        "The boy is unable to open the jar, so his sister helps him.",
        "Unable to reach the shelf, the boy climbs onto a chair.",
        "Unable to see over the fence, the dog jumps.",
        "The man does not show his face.",
        "There is no picture on the wall. A lamp hangs beside the door.",
        "There are no people in the frame at first.",
        "No one is there. The door opens by itself.",
        "No cars pass. A cat crosses the road.",
        "The player apologizes to the referee, who shakes his head.",
        "The image on the phone is a cat. The girl laughs.",
        "The video begins with a close-up of a kettle.",
        "An AI robot walks through the hall.",
        "As a chef, the man wears a white hat.",
        "Please note the red sign, which a man is painting.",
        "Another frame of the comic strip is drawn.",
        "This request form lies on the desk beside a pen.",
        "To help the climber, a second man throws a rope.",
        "I see a man in a red jacket who walks to the left.",
        "It seems that the cake is ready. The woman takes it out of the oven.",
        "The files are provided by a clerk, who smiles.",
    ],
)
def test_a_description_is_not_taken_for_one(text):
    assert find_refusal(text) is None
